"""What must be right in every case: each id exactly once at the sink, and whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.bench.figures import Figures, Load
from tests.bench.sink import Arrival


def verdict(load: Load, body: int, arrivals: Sequence[Arrival]) -> Figures:
    """How many (message, recipient) are missing, doubled, damaged or not ours.

    Those of tarpits may be missing: a run ends when the healthy ones are through.
    """
    seen = Counter((one.message, one.recipient) for one in arrivals)
    wanted = set(_healthy(load))
    ours = {
        (message, k) for message in range(load.messages) for k in range(max(load.recipients, 1))
    }
    return {
        "missing": len(wanted - seen.keys()),
        "doubled": sum(count - 1 for count in seen.values() if count > 1),
        "strange": len(seen.keys() - ours),
        "damaged": sum(one.octets != body for one in arrivals),
    }


def _healthy(load: Load) -> Iterable[tuple[int, int]]:
    for message in range(load.messages):
        for k in range(load.recipients):
            if (message + k) % load.domains >= load.tarpits:
                yield message, k


def is_right(figures: Figures) -> bool:
    """Whether a run lost, doubled, changed or invented nothing, and no system says it may have."""
    faults = (
        *("missing", "doubled", "strange", "damaged", "accept_failed"),
        *("lost_leases", "possible_doubles"),
    )
    return not any(figures.get(name) for name in faults)
