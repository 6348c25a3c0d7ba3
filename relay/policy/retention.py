"""How long the record of a closed message is kept: the fuller the store, the shorter."""

from __future__ import annotations

#: A day below half of the store's memory; at four fifths, ten minutes, which still guard repeated
#: admissions.
LONGEST_MS = 24 * 3600 * 1000
SHORTEST_MS = 600 * 1000
_BEGIN, _END = 0.5, 0.8


def retention_ms(used: int, most: int) -> int:
    """Milliseconds, from the octets used and the limit (0: none); falls linearly in between."""
    share = used / most if most else 0.0
    if share <= _BEGIN:
        return LONGEST_MS
    if share >= _END:
        return SHORTEST_MS
    return round(LONGEST_MS - (LONGEST_MS - SHORTEST_MS) * (share - _BEGIN) / (_END - _BEGIN))
