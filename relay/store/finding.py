"""What the index (relay.store.index) finds: deliveries to a recipient or with a tag, also final."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from msgspec import Struct

from relay.errors import NoSuchMessage, UnreadableRecord
from relay.mail.ids import message_of
from relay.store.client import StoreClient
from relay.store.index import delivery_in, term
from relay.store.keys import PartitionKeys
from relay.store.listing import Listed, Wanted, Where, read_listed
from relay.store.paging import Look, Page, page_of
from relay.store.status import Over, Status, StoredMessage

#: Members read at a time: of each a whole message may have to be read.
_STEP = 20
#: A member behind its term: a position between pages.
_POSITION = re.compile(r"[^\x00-\x1f\x7f]{0,300}\|[0-9a-z]{20}\.\d{1,6}")


class Final(Struct, frozen=True):
    """A delivery that is over: its message, and what made its recipients final."""

    id: str
    message: StoredMessage
    outcomes: tuple[Over, ...]

    @property
    def recipients(self) -> tuple[str, ...]:
        """Those that it was for, in the order in which they became final."""
        found: dict[str, None] = {}
        for over in self.outcomes:
            ended = over.ended
            if ended.delivery is not None:
                found.update(dict.fromkeys(one.address for one in ended.delivery.recipients))
            if ended.attempt is not None:
                results = ended.attempt.results
                found.update(dict.fromkeys(one.recipient for one in results if one.fate in _FINAL))
        return tuple(found)

    @property
    def domain(self) -> str:
        """Their domain."""
        return self.recipients[0].rpartition("@")[2] if self.recipients else ""


_FINAL = ("delivered", "bounced", "expired", "cancelled")


class Finding:
    """Looks in all partitions; never changes anything."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._status = Status(client, partitions)

    async def page(self, wanted: Wanted, cursor: str, limit: int) -> Page[Listed | Final]:
        """Up to `limit` deliveries with the recipient or else the tag, behind the cursor.

        Raises ValueError where the cursor is none, StoreUnavailable.
        """

        async def look(keys: PartitionKeys, position: str) -> list[Look[Listed | Final]]:
            if position and not _POSITION.fullmatch(position):
                raise ValueError("is none that a page gave")
            members = await self._members(keys, wanted, position)
            return await self._read(keys, wanted, members) if members else []

        return await page_of(self._partitions, cursor, limit, look)

    async def _members(self, keys: PartitionKeys, wanted: Wanted, position: str) -> list[bytes]:
        """The next members of a term, or of a tenant in it."""
        name = term("recipient", wanted.recipient) if wanted.recipient else term("tag", wanted.tag)
        low = f"{name}|" if wanted.tenant is None else f"{name}|{wanted.tenant}|"
        high = low[:-1] + "}"
        behind = f"{name}|{position}"
        if position and behind.encode() >= high.encode():
            return []
        start = f"({behind}" if position and behind.encode() >= low.encode() else f"[{low}"
        members: list[bytes] = await self._client.read(
            "ZRANGE", keys.index, start, f"({high}", "BYLEX", "LIMIT", 0, _STEP
        )
        return members

    async def _read(
        self, keys: PartitionKeys, wanted: Wanted, members: Sequence[bytes]
    ) -> list[Look[Listed | Final]]:
        names = [delivery_in(one) for one in members]
        listed = await read_listed(self._client, keys, names)
        pending = [_is_open(wanted, one) for one in listed]
        over = {
            message_of(name)[0] for name, is_open in zip(names, pending, strict=True) if not is_open
        }
        messages = dict(zip(over, await asyncio.gather(*map(self._message, over)), strict=True))
        looks: list[Look[Listed | Final]] = []
        for member, name, item, is_open in zip(members, names, listed, pending, strict=True):
            message, number = message_of(name)
            found: Listed | Final | None = item
            cost = 1
            if not is_open:
                stored = messages[message]
                found = _final(name, number, stored)
                cost = stored.record.deliveries if stored is not None else 1
            fits = found is not None and _fits(wanted, found)
            looks.append(Look(member.partition(b"|")[2].decode(), found if fits else None, cost))
        return looks

    async def _message(self, message: str) -> StoredMessage | None:
        try:
            return await self._status.message(message)
        except (NoSuchMessage, UnreadableRecord):
            return None


def _is_open(wanted: Wanted, listed: Listed | None) -> bool:
    """Not where the recipient that is sought is final, though others of the delivery are not."""
    if listed is None:
        return False
    sought = wanted.recipient.casefold()
    return not sought or any(one.address.casefold() == sought for one in listed.delivery.recipients)


def _final(name: str, number: int, message: StoredMessage | None) -> Final | None:
    """None where the record is gone, or the message was never accepted."""
    if message is None:
        return None
    outcomes = tuple(one for one in message.outcomes if one.number == number)
    return Final(name, message, outcomes) if outcomes else None


def _fits(wanted: Wanted, item: Listed | Final) -> bool:
    if isinstance(item, Final):
        place, domain, accepted = Where.FINAL, item.domain, item.message.record.accepted_ms
    else:
        place = Where(item.stored.place.name.lower())
        domain, accepted = item.stored.domain, item.delivery.accepted_ms
    return (
        wanted.where in (Where.ALL, place)
        and wanted.domain in ("", domain)
        and accepted >= wanted.since_ms
        and (not wanted.until_ms or accepted < wanted.until_ms)
    )
