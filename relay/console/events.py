"""Events as services follow them: what became of whom, in order, from any point that is kept.

An event's id is a cursor: for each partition the last stream entry that was told, and how many
events of the next one (`+n`), as an entry may have many.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime

from msgspec import Struct

from relay.console.records import moment
from relay.errors import UnreadableRecord
from relay.mail.delivery import Attempt, Record
from relay.mail.ids import message_of
from relay.store.client import StoreClient
from relay.store.codec import decode_attempt, decode_outcome, decode_record
from relay.store.complaints import complaint_behind
from relay.store.keys import partition_keys
from relay.store.leasing import KEPT_DEFERRALS
from relay.store.outbox import EventEntry, entries_of
from relay.store.replies import NO_REPLY

#: The letter of an event, and its type.
TYPES = {
    "a": "accepted",
    "d": "delivered",
    "b": "bounced",
    "f": "deferred",
    "p": "unknown",
    "h": "held",
    "x": "expired",
    "c": "cancelled",
    "r": "bounced",
    "j": "complained",
    "l": "late",
}
_PLACE = re.compile(r"\d{1,16}-\d{1,10}(?:\+\d{1,4})?")
#: Stream entries of a partition looked at in one reading.
_PAGE = 50


class EventRecipient(Struct, frozen=True):
    """What the event says of one recipient."""

    address: str
    #: delivered, deferred, bounced, expired or cancelled; complained, with the kind as text.
    outcome: str
    code: int = 0
    enhanced: str = ""
    text: str = ""


class EventView(Struct, frozen=True, kw_only=True):
    """One event of one delivery; of the message as a whole for `accepted`."""

    #: Goes on behind this event.
    id: str
    #: accepted, delivered, bounced, deferred, held, expired, cancelled, or unknown: the message may
    #: have been sent without a reply, and is tried again. complained: a recipient did, days later
    #: perhaps. late: it was to be delivered by now, and is tried on.
    type: str
    at: datetime
    message: str
    domain: str = ""
    host: str = ""
    recipients: tuple[EventRecipient, ...] = ()
    tenant: str = ""
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = {}


class Events:
    """Reads the outbox of all partitions; never changes anything, nor holds its trimming."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._keys = [partition_keys(number, partitions) for number in range(partitions)]

    async def now(self) -> str:
        """The cursor behind all that has happened."""
        lasts = await asyncio.gather(
            *(
                self._client.read("XREVRANGE", keys.events, "+", "-", "COUNT", 1)
                for keys in self._keys
            )
        )
        return ",".join(last[0][0].decode() if last else "0-0" for last in lasts)

    async def after(
        self, cursor: str, *, tenant: str | None = None, most: int = 500
    ) -> tuple[list[EventView], str]:
        """Events behind the cursor, about `most` looked at, and the cursor behind them.

        Of one tenant, or (None) of all. Raises ValueError where the cursor is none.
        """
        places = self._places(cursor)
        found: list[tuple[int, EventEntry, str]] = []
        for number in range(len(places)):
            for entry, index, last in await self._entries(number, places[number]):
                if len(found) >= most:
                    break
                at = places[number].partition("+")[0]
                places[number] = entry.stream_id if last else f"{at}+{index + 1}"
                found.append((number, entry, ",".join(places)))
        views = await asyncio.gather(*(self._view(*one, tenant) for one in found))
        return [view for view in views if view is not None], ",".join(places)

    def _places(self, cursor: str) -> list[str]:
        places = cursor.split(",")
        if len(places) != len(self._keys) or not all(map(_PLACE.fullmatch, places)):
            raise ValueError("is no id of an event of this store")
        return places

    async def _entries(self, number: int, place: str) -> list[tuple[EventEntry, int, bool]]:
        """The next events of a partition: each with its number in its entry, and if it is last."""
        after, _, told = place.partition("+")
        page = await self._client.read(
            "XRANGE", self._keys[number].events, f"({after}", "+", "COUNT", _PAGE
        )
        found = []
        for at, (stream_id, fields) in enumerate(page):
            entries = entries_of(stream_id.decode(), fields)
            skipped = int(told or 0) if at == 0 else 0
            found += [
                (entry, index, index == len(entries) - 1)
                for index, entry in enumerate(entries)
                if index >= skipped
            ]
        return found

    async def _view(
        self, number: int, entry: EventEntry, cursor: str, tenant: str | None
    ) -> EventView | None:
        """None where it is of another tenant, or its record's time is over."""
        if entry.complained:
            return await self._complaint(number, entry, cursor, tenant)
        of_message = entry.kind == "a"
        message, delivery = (entry.delivery_id, 0) if of_message else message_of(entry.delivery_id)
        value, final, noted = await self._client.read(
            "HMGET",
            self._keys[number].record(message),
            "m",
            f"f{delivery}.{entry.fence}",
            f"a{delivery}.{entry.fence % KEPT_DEFERRALS}",
        )
        try:
            record = None if value is None else decode_record(value)
            if record is None or tenant not in (None, record.tenant):
                return None
            return _shown(entry, message, cursor, record, _attempt(entry, final, noted))
        except UnreadableRecord:
            return None

    async def _complaint(
        self, number: int, entry: EventEntry, cursor: str, tenant: str | None
    ) -> EventView | None:
        """It may be of a message whose record is long gone: then nothing else is known of that."""
        keys, message = self._keys[number], entry.delivery_id[:20]
        try:
            found = await complaint_behind(self._client, keys, message, entry.fence)
            if found is None or tenant not in (None, found.tenant):
                return None
            value = await self._client.read("HGET", keys.record(message), "m")
            record = None if value is None else decode_record(value)
        except UnreadableRecord:
            return None
        who = EventRecipient(found.recipient, "complained", text=found.kind)
        return EventView(
            id=cursor,
            type="complained",
            at=moment(found.at_ms),
            message=message,
            domain=found.recipient.rpartition("@")[2],
            recipients=(who,),
            tenant=found.tenant,
            tags=record.tags if record else (),
            metadata=record.metadata if record else {},
        )


def _attempt(
    entry: EventEntry, final: bytes | None, noted: bytes | None
) -> tuple[str, tuple[EventRecipient, ...]]:
    """The host and the results that an event is about."""
    if entry.kind in ("a", "h", "L"):
        return "", ()
    attempt: Attempt | None = None
    if final is not None:
        ended = decode_outcome(f"f0.{entry.fence}".encode(), final)
        if ended.delivery is not None:
            people, said = ended.delivery.recipients, ended.reply or NO_REPLY
            return "", tuple(
                EventRecipient(one.address, ended.fate, said.code, said.enhanced, said.text)
                for one in people
            )
        attempt = ended.attempt
    elif noted is not None:
        attempt = decode_attempt(noted)
    if attempt is None:
        return "", ()
    return attempt.host, tuple(
        EventRecipient(r.recipient, r.fate, r.code, r.enhanced, r.text) for r in attempt.results
    )


def _shown(
    entry: EventEntry,
    message: str,
    cursor: str,
    record: Record,
    attempt: tuple[str, tuple[EventRecipient, ...]],
) -> EventView:
    host, recipients = attempt
    return EventView(
        id=cursor,
        type=TYPES.get(entry.kind.lower(), "unknown"),
        at=moment(int(entry.stream_id.partition("-")[0])),
        message=message,
        domain=recipients[0].address.rpartition("@")[2] if recipients else "",
        host=host,
        recipients=recipients,
        tenant=record.tenant,
        tags=record.tags,
        metadata=record.metadata,
    )
