"""Case A: one domain. What a message costs when all that can be is warm and shared."""

from tests.bench.figures import Bar, Case, Load
from tests.bench.stage import relayed

CASE = Case(
    name="A",
    title="one domain, 20 sessions, 4 KiB",
    load=Load(messages=30_000),
    quick=Load(messages=10_000),
    script=relayed,
    bars=(
        Bar("delivered_per_s", "at least", 4.0, "postfix"),
        Bar("cpu_ms", "at most", 0.25, "postfix"),
        Bar("delivered_per_s", "at least", 2.0, "slimta"),
    ),
)
