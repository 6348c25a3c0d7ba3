"""Pages over all partitions: each looks at a bounded number of deliveries, however many there are.

Where few of them fit, a page has few or none, and the next one goes on behind it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

from relay.store.keys import PartitionKeys, partition_keys

#: Deliveries that one page looks at, at most.
MOST_LOOKS = 2000
_CURSOR = re.compile(r"(\d{1,4})/([^\x00-\x20\x7f]{0,600})")
_Item = TypeVar("_Item")


class Page(Struct, Generic[_Item], frozen=True):
    """Some deliveries, and where the next page begins, `""` where there is none."""

    items: tuple[_Item, ...]
    cursor: str


class Look(NamedTuple, Generic[_Item]):
    """What one look found: None where it does not fit; and the position behind it."""

    position: str
    item: _Item | None
    #: How many looks it was.
    cost: int = 1


async def page_of(
    partitions: int,
    cursor: str,
    limit: int,
    look: Callable[[PartitionKeys, str], Awaitable[Sequence[Look[_Item]]]],
) -> Page[_Item]:
    """Up to `limit` of what `look` finds behind a position of a partition; nothing is its end.

    Raises ValueError where the cursor is none.
    """
    partition, position = _begin(cursor, partitions)
    found: list[_Item] = []
    looks = 0
    while partition < partitions and looks < MOST_LOOKS and len(found) < limit:
        seen = await look(partition_keys(partition, partitions), position)
        if not seen:
            partition, position = partition + 1, ""
            continue
        for one in seen:
            position, looks = one.position, looks + one.cost
            if one.item is not None:
                found.append(one.item)
                if len(found) == limit:
                    break
    return Page(tuple(found), f"{partition}/{position}" if partition < partitions else "")


def _begin(cursor: str, partitions: int) -> tuple[int, str]:
    """The partition and position that a cursor names."""
    if not cursor:
        return 0, ""
    found = _CURSOR.fullmatch(cursor)
    if found is None or int(found[1]) >= partitions:
        raise ValueError("is none that a page gave")
    return int(found[1]), found[2]
