"""Case C: few messages to very many recipients. Figures are per recipient."""

from tests.bench.figures import Bar, Case, Load
from tests.bench.stage import relayed

CASE = Case(
    name="C",
    title="20 messages x 1,000 recipients in 10 domains",
    load=Load(messages=20, domains=10, recipients=1000, pipelined=True),
    script=relayed,
    bars=(
        Bar("delivered_per_s", "at least", 4.0, "postfix"),
        Bar("delivered_per_s", "at least", 12_500),
    ),
)
