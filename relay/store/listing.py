"""Which deliveries there are, page by page, from the queue's own indexes: never scanned whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from relay.errors import UnreadableRecord
from relay.mail.delivery import Delivery
from relay.mail.envelope import Priority
from relay.policy.needs import queues_of
from relay.store.client import StoreClient
from relay.store.codec import Place, Stored, decode_stored
from relay.store.keys import PartitionKeys, lane
from relay.store.paging import Look, Page, page_of
from relay.store.script import script

PAGE = script("page")

_STEP = 200
_PLACE = re.compile(r"(\d{1,16})\+(\d{1,9})")


class Where(StrEnum):
    """The index that is read: a place, or all deliveries by their age."""

    ALL = "all"
    LATER = "later"
    READY = "ready"
    LEASED = "leased"
    HELD = "held"
    #: Only what the index finds (relay.store.finding).
    FINAL = "final"


class Wanted(Struct, frozen=True, kw_only=True):
    """Which deliveries are asked for; times are Unix times in ms of acceptance, 0 for any."""

    where: Where = Where.ALL
    domain: str = ""
    #: None: of all tenants.
    tenant: str | None = None
    since_ms: int = 0
    until_ms: int = 0
    #: Found by the index: an address or a tag, in any case.
    recipient: str = ""
    tag: str = ""


class Listed(Struct, frozen=True):
    """One delivery."""

    id: str
    stored: Stored
    delivery: Delivery


class _Member(NamedTuple):
    """A member of an index: whose it is, and the position behind it."""

    id: bytes
    position: str


class Listing:
    """Lists the deliveries of all partitions; never changes anything."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def page(self, wanted: Wanted, cursor: str, limit: int) -> Page[Listed]:
        """Up to `limit` deliveries behind the cursor.

        Raises ValueError where the cursor is none, StoreUnavailable.
        """

        async def look(keys: PartitionKeys, position: str) -> list[Look[Listed]]:
            members = await self._members(keys, wanted, position)
            listed = await read_listed(self._client, keys, [one.id.decode() for one in members])
            return [
                Look(member.position, one if one is not None and _fits(wanted, one) else None)
                for member, one in zip(members, listed, strict=True)
            ]

        return await page_of(self._partitions, cursor, limit, look)

    async def _members(self, keys: PartitionKeys, wanted: Wanted, position: str) -> list[_Member]:
        """The next members of the index behind a position in it."""
        if wanted.where is Where.READY and wanted.domain:
            return await self._ready(keys, wanted, position)
        name = {Where.LATER: keys.later, Where.LEASED: keys.leased, Where.HELD: keys.held}.get(
            wanted.where, keys.age
        )
        return await self._by_score(name, wanted, position, by_age=_by_age(wanted))

    async def _by_score(
        self, name: str, wanted: Wanted, position: str, *, by_age: bool
    ) -> list[_Member]:
        """A position is a score, and how many members of that score were passed.

        It names no delivery, as those passed may be of other tenants.
        """
        place = _PLACE.fullmatch(position)
        if position and place is None:
            raise ValueError("is none that a page gave")
        low, passed = (int(place[1]), int(place[2])) if place else (0, 0)
        if by_age:
            low, passed = (low, passed) if low >= wanted.since_ms else (wanted.since_ms, 0)
        _, *flat = await self._client.call(PAGE, [name], (low, passed, _STEP))
        members = []
        for at in range(0, len(flat), 2):
            score = int(float(flat[at + 1]))
            if by_age and wanted.until_ms and score >= wanted.until_ms:
                break
            low, passed = (low, passed + 1) if score == low else (score, 1)
            members.append(_Member(flat[at], f"{low}+{passed}"))
        return members

    async def _ready(self, keys: PartitionKeys, wanted: Wanted, position: str) -> list[_Member]:
        """Members of `ready`, which sort by queue, lane and time: a domain's, or a tenant's in it.

        A position is a member, without its domain.
        """
        behind = f"{wanted.domain}{position}"
        for low, high in _ranges(wanted):
            if position and behind >= high[1:]:
                continue
            start = f"({behind}" if position and behind >= low[1:] else low
            names: list[bytes] = await self._client.read(
                "ZRANGE", keys.ready, start, high, "BYLEX", "LIMIT", 0, _STEP
            )
            if names:
                cut = len(wanted.domain)
                return [_Member(one.rpartition(b"|")[2], one[cut:].decode()) for one in names]
        return []


async def read_listed(
    client: StoreClient, keys: PartitionKeys, names: Sequence[str]
) -> list[Listed | None]:
    """The deliveries of those ids; None for what is final, not accepted yet or not to be read."""
    values = await client.read("HMGET", keys.deliveries, *names) if names else []
    return [_listed(name, value) for name, value in zip(names, values, strict=True)]


def _ranges(wanted: Wanted) -> list[tuple[str, str]]:
    """Ranges of `ready`, in its order: a domain's queues, or their lanes of a tenant."""
    # As `|` stands behind every other character of a queue's name, its longer names come first.
    queues = sorted(queues_of(wanted.domain), key=lambda queue: f"{queue}|")
    if wanted.tenant is None:
        return [(f"[{queue}|", f"({queue}}}") for queue in queues]
    lanes = sorted(lane(priority, wanted.tenant) for priority in Priority)
    return [(f"[{queue}|{one}|", f"({queue}|{one}}}") for queue in queues for one in lanes]


def _listed(name: str, value: bytes | None) -> Listed | None:
    try:
        if value is None:
            return None
        stored = decode_stored(value)
        return None if stored.place is Place.STAGED else Listed(name, stored, stored.delivery)
    except UnreadableRecord:
        return None


def _fits(wanted: Wanted, listed: Listed) -> bool:
    stored, accepted = listed.stored, listed.delivery.accepted_ms
    if wanted.where is Where.READY and stored.place is not Place.READY:
        return False
    in_time = _by_age(wanted) or (
        accepted >= wanted.since_ms and (not wanted.until_ms or accepted < wanted.until_ms)
    )
    return (
        in_time
        and wanted.domain in ("", stored.domain)
        and (wanted.tenant is None or stored.lane[1:] == wanted.tenant)
    )


def _by_age(wanted: Wanted) -> bool:
    """The index is that of age, which has the times itself."""
    return wanted.where is Where.ALL or (wanted.where is Where.READY and not wanted.domain)
