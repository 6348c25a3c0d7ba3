"""Case G: every destination takes its time, as real ones do: what counts is how many at once."""

from tests.bench.figures import Bar, Case, Delay, Load
from tests.bench.stage import relayed

CASE = Case(
    name="G",
    title="300 ms at DATA everywhere, 5,000 messages, 100 domains",
    load=Load(messages=5000, domains=100),
    script=relayed,
    healthy=Delay(0.3, "data"),
    bars=(Bar("delivered_per_s", "at least", 2000),),
)
