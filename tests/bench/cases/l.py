"""Case L: a quiet day, 50 messages a second whatever happens: from the first octet to the sink."""

from tests.bench.figures import Bar, Case, Load
from tests.bench.stage import relayed

CASE = Case(
    name="L",
    title="50 messages/s over 100 domains, open loop",
    load=Load(messages=3000, domains=100, rate=50.0),
    script=relayed,
    bars=(Bar("latency_p50_ms", "at most", 5.0), Bar("latency_p99_ms", "at most", 15.0)),
    shown={"latency_p50_ms": "p50 ms to the sink", "latency_p99_ms": "p99 ms to the sink"},
)
