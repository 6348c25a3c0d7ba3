"""Case C: few messages to very many recipients. Figures are per recipient.

Afterwards the same is queued once more while nobody listens at the destination, to see how often
its content is in the store.
"""

from __future__ import annotations

from tests.bench.figures import Bar, Case, Figures, Load
from tests.bench.stage import Stage, per, relayed
from tests.bench.systems.relay import Relay


def fanned_out(stage: Stage) -> Figures:
    """Relay the load; then count what the store holds of a load that cannot leave."""
    figures = relayed(stage)
    system = stage.system
    if isinstance(system, Relay):
        with stage.running():
            before = system.stored()
            accepted = stage.inject().accepted
            figures["contents_each"] = per(system.contents(), accepted)
            figures["stored_octets"] = per(system.stored() - before, accepted * _RECIPIENTS)
    return figures


_RECIPIENTS = 1000
CASE = Case(
    name="C",
    title="20 messages x 1,000 recipients in 10 domains",
    load=Load(messages=20, domains=10, recipients=_RECIPIENTS, pipelined=True),
    script=fanned_out,
    bars=(
        Bar("delivered_per_s", "at least", 4.0, "postfix"),
        Bar("delivered_per_s", "at least", 12_500),
        Bar("contents_each", "at most", 1.0),
    ),
    shown={"contents_each": "contents a message", "stored_octets": "octets stored a recipient"},
)
