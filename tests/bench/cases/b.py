"""Case B: a thousand domains, each a destination of its own, as an outbound relay has them."""

from tests.bench.figures import Bar, Case, Load
from tests.bench.stage import relayed

CASE = Case(
    name="B",
    title="1,000 domains, 20 sessions, 4 KiB",
    load=Load(messages=30_000, domains=1000),
    quick=Load(messages=10_000, domains=1000),
    script=relayed,
    bars=(
        Bar("delivered_per_s", "at least", 4.0, "postfix"),
        Bar("cpu_ms", "at most", 0.25, "postfix"),
        Bar("delivered_per_s", "at least", 2.0, "slimta"),
    ),
)
