"""Case F: B, and a hundred of the thousand domains tarpit: more than most relays have slots."""

from tests.bench.figures import Bar, Case, Delay, Load
from tests.bench.stage import relayed

CASE = Case(
    name="F",
    title="B with 100 tarpits (30 s at DATA)",
    load=Load(messages=30_000, domains=1000, tarpits=100),
    script=relayed,
    tarpit=Delay(30.0, "data"),
    bars=(Bar("healthy_s", "at most", 1.15, "B"),),
)
