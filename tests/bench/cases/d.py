"""Case D: B, and ten of the thousand domains tarpit at DATA. The healthy ones must not notice."""

from tests.bench.figures import Bar, Case, Delay, Load
from tests.bench.stage import relayed

CASE = Case(
    name="D",
    title="B with 10 tarpits (30 s at DATA)",
    load=Load(messages=30_000, domains=1000, tarpits=10),
    quick=Load(messages=10_000, domains=1000, tarpits=10),
    script=relayed,
    tarpit=Delay(30.0, "data"),
    bars=(Bar("healthy_s", "at most", 1.15, "B"),),
)
