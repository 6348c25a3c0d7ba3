"""The outbox: a partition's events, how far each consumer has come, and what an event is about.

An event is a letter and a fence: a accepted; d delivered, b bounced, f deferred, p possibly sent
(no reply came, or a lease was lost); h held, x expired, c cancelled, r bounced by an operator. In
upper case a DSN is due, and the content stays until `close`. j is a complaint about the message
(scripts/complain.lua), its number in place of the fence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from relay.errors import DamagedRecord
from relay.mail.delivery import Attempt, Record, Result
from relay.mail.envelope import Recipient
from relay.store import observed
from relay.store.client import StoreClient
from relay.store.codec import (
    Ended,
    Stored,
    decode_outcome,
    decode_record,
    decode_stored,
)
from relay.store.complaints import Complaint, complaint_behind
from relay.store.keys import partition_keys
from relay.store.leasing import KEPT_DEFERRALS
from relay.store.replies import NO_REPLY, last_attempt, reply_in
from relay.store.script import Text, script

ADVANCE, CLOSE, ROLE, TRIM = script("advance"), script("close"), script("role"), script("trim")

#: Claims in one call of close at most.
_MOST_CLAIMS = 50
#: Stream entries read at a time; one has up to a hundred events.
_PAGE = 50
_START = b"0-0"
#: Nothing is final yet, and the sender is to hear of it (scripts/promote.lua).
_LATE = "L"


class OutboxOptions(Struct, frozen=True):
    """Times in milliseconds."""

    #: How long every consumer must have applied events before they are forgotten.
    keep_ms: int = 300_000
    #: How many events one call forgets at most.
    trim: int = 1000


class EventEntry(Struct, frozen=True):
    """One event: what happened to a delivery under a fence. Several may share a `stream_id`."""

    stream_id: str
    #: For an acceptance (kind a) the message's id.
    delivery_id: str
    #: A letter, in upper case where the sender is to be told.
    kind: str
    #: 0 for an acceptance.
    fence: int

    @property
    def report_due(self) -> bool:
        """A recipient became final whose sender wants to hear of it."""
        return self.kind.isupper()

    @property
    def given_up(self) -> bool:
        """No attempt ended the delivery: it expired, or an operator cancelled or bounced it."""
        return self.kind.lower() in ("x", "c", "r")

    @property
    def complained(self) -> bool:
        """A recipient complained about the message; the fence is the complaint's number."""
        return self.kind == "j"


class FinalOutcome(Struct, frozen=True):
    """What one settle, or the giving up of a delivery, made final."""

    delivery_id: str
    fence: int
    #: When, as it was recorded then: a Unix time in milliseconds, the same at each reading.
    at_ms: int
    record: Record
    #: The delivery's recipients as they were attempted; those without a result are not final.
    recipients: tuple[Recipient, ...]
    #: What became of them. Where no attempt did it, `expired`, with the last reply there was, or
    #: `bounced` with an operator's.
    results: tuple[Result, ...]
    #: The host that answered, "" where none did.
    host: str
    #: The message's content from its beginning, as far as it was asked for or is still there.
    content: bytes
    #: How many chunks the content lies in; 0: in one piece.
    chunks: int = 0
    #: The host knows DSN: of what it took it reports itself.
    passed_on: bool = False
    #: The sender is to hear of the relay as such (RFC 2852).
    relayed: bool = False
    #: An attempt made it final.
    attempted: bool = True


class Outbox:
    """One partition's events. Every call raises StoreUnavailable where the store is away."""

    def __init__(
        self,
        client: StoreClient,
        partition: int,
        partitions: int,
        options: OutboxOptions | None = None,
    ) -> None:
        self._client = client
        self._keys = partition_keys(partition, partitions)
        self._options = options or OutboxOptions()
        #: How long a closed record is kept, in ms (policy.retention).
        self.retention_ms = 24 * 3600 * 1000

    async def hold_role(self, consumer: str, holder: str, ttl_ms: int) -> bool:
        """Take or keep the role for `ttl_ms`; False where another has it. 0 gives it up."""
        key = self._keys.role(consumer)
        word, *_ = await self._client.call(ROLE, [key], [holder, ttl_ms])
        return bool(word == b"held")

    async def cursor(self, consumer: str) -> str:
        """The id of the last event that the consumer applied."""
        found = await self._client.read("HGET", self._keys.cursors, consumer)
        return str((found or _START).decode())

    async def read(self, consumer: str, count: int) -> list[EventEntry]:
        """The next events behind the cursor: about `count`, never half a stream entry."""
        after = await self.cursor(consumer)
        entries: list[EventEntry] = []
        while len(entries) < count:
            page = await self._client.read(
                "XRANGE", self._keys.events, f"({after}", "+", "COUNT", _PAGE
            )
            for stream_id, fields in page:
                after = stream_id.decode()
                entries += entries_of(after, fields)
                if len(entries) >= count:
                    break
            if len(page) < _PAGE:
                break
        return entries

    async def advance(self, consumer: str, stream_id: str) -> None:
        """Move the consumer's cursor up to `stream_id`; never back."""
        await self._client.call(ADVANCE, [self._keys.cursors], [consumer, stream_id])

    async def outcomes(
        self, entries: Sequence[EventEntry], octets: int
    ) -> list[FinalOutcome | None]:
        """What each event made final, with up to `octets` of content; None where it was closed.

        None also where it is damaged. Raises NewerRecord.
        """
        return list(await asyncio.gather(*(self._outcome(entry, octets) for entry in entries)))

    async def given_up(self, entries: Sequence[EventEntry]) -> list[Ended | None]:
        """The ends of deliveries that were given up; None where the record is gone or damaged.

        Raises NewerRecord.
        """
        found: list[Ended | None] = []
        for at in range(0, len(entries), _PAGE):
            found += await asyncio.gather(*map(self._ended, entries[at : at + _PAGE]))
        return found

    async def complaints(self, entries: Sequence[EventEntry]) -> list[Complaint | None]:
        """The complaints that events tell of; None where one is forgotten or damaged."""
        found: list[Complaint | None] = []
        for entry in entries:
            try:
                found.append(
                    await complaint_behind(
                        self._client, self._keys, entry.delivery_id[:20], entry.fence
                    )
                )
            except DamagedRecord as error:
                observed.unreadable(error, delivery=entry.delivery_id)
                found.append(None)
        return found

    async def close(self, outcomes: Sequence[FinalOutcome]) -> None:
        """Each DSN is admitted, or none is to be: its claim on the content goes. Safe to repeat."""
        for at in range(0, len(outcomes), _MOST_CLAIMS):
            names: list[Text] = [self._keys.shares]
            args: list[Text] = [self.retention_ms]
            for outcome in outcomes[at : at + _MOST_CLAIMS]:
                message = outcome.delivery_id[:20]
                contents = self._keys.contents(message, outcome.chunks)
                names += (self._keys.record(message), *contents)
                args += (outcome.delivery_id, outcome.fence, len(contents))
            await self._client.call(CLOSE, names, args)

    async def trim(self, consumers: Sequence[str]) -> int:
        """Forget events that all `consumers` applied a while ago; how many."""
        keys = self._keys
        names = [keys.events, keys.cursors, keys.wake, keys.reasons]
        args: list[Text] = [self._options.keep_ms, self._options.trim, *consumers]
        _, count, _ = await self._client.call(TRIM, names, args)
        return int(count)

    async def _ended(self, entry: EventEntry) -> Ended | None:
        message, number = entry.delivery_id[:20], entry.delivery_id[21:]
        field = f"f{number}.{entry.fence}"
        value = await self._client.read("HGET", self._keys.record(message), field)
        try:
            return None if value is None else decode_outcome(field.encode(), value)
        except DamagedRecord as error:
            observed.unreadable(error, delivery=entry.delivery_id)
            return None

    async def _outcome(self, entry: EventEntry, octets: int) -> FinalOutcome | None:
        message, number = entry.delivery_id[:20], entry.delivery_id[21:]
        field = f"f{number}.{entry.fence}"
        record, value, claim, *noted = await self._client.read(
            "HMGET",
            self._keys.record(message),
            "m",
            field,
            f"k{number}.{entry.fence}",
            *(f"a{number}.{slot}" for slot in range(KEPT_DEFERRALS)),
        )
        late = entry.kind == _LATE
        if record is None or claim is None or (value is None and not late):
            return None
        try:
            stored, about = decode_stored(claim), decode_record(record)
            recipients = stored.delivery.recipients
            if late:
                ended = Ended("late", 0, stored.delivery.by_ms, None, None)
            else:
                ended = decode_outcome(field.encode(), value)
            host, results = await self._results(ended, stored, noted)
        except DamagedRecord as error:
            observed.unreadable(error, delivery=entry.delivery_id)
            return None
        return FinalOutcome(
            entry.delivery_id,
            entry.fence,
            ended.at_ms,
            about,
            recipients,
            results,
            host,
            await self._content(message, stored.chunks, octets),
            stored.chunks,
            ended.attempt is not None and ended.attempt.dsn,
            ended.attempt is not None and ended.attempt.relayed,
            ended.attempt is not None,
        )

    async def _results(
        self, ended: Ended, stored: Stored, noted: Sequence[bytes | None]
    ) -> tuple[str, tuple[Result, ...]]:
        """The host that spoke last, and what became of the recipients that are final."""
        if ended.attempt is not None:
            final = tuple(r for r in ended.attempt.results if r.fate != "deferred")
            return ended.attempt.host, final
        if ended.reply is not None:
            code, enhanced, text = ended.reply.code, ended.reply.enhanced, ended.reply.text
            people = (one.address for one in stored.delivery.recipients)
            return "", tuple(Result(one, ended.fate, code, enhanced, text) for one in people)
        last = last_attempt(noted)
        reason = await self._client.read("HGET", self._keys.reasons, stored.queue)
        results = (
            _given_up(recipient, ended.fate, last, reason)
            for recipient in stored.delivery.recipients
        )
        return last.host if last else "", tuple(results)

    async def _content(self, message: str, chunks: int, octets: int) -> bytes:
        pieces = []
        for name in self._keys.contents(message, chunks):
            pieces.append(await self._client.read("GETRANGE", name, 0, octets - 1))
            octets -= len(pieces[-1])
            if octets <= 0:
                break
        return b"".join(pieces)


def entries_of(stream_id: str, fields: list[Any]) -> list[EventEntry]:
    """The events of one entry of the stream."""
    texts = [field.decode() for field in fields]
    return [
        EventEntry(stream_id, texts[at], texts[at + 1][:1], int(texts[at + 1][1:] or 0))
        for at in range(0, len(texts), 2)
    ]


def _given_up(
    recipient: Recipient, fate: str, last: Attempt | None, reason: bytes | None
) -> Result:
    replies = {result.recipient: result for result in last.results} if last else {}
    said = replies.get(recipient.address)
    if said is not None:
        return Result(recipient.address, fate, said.code, said.enhanced, said.text)
    reply = reply_in(reason) if reason else NO_REPLY
    return Result(recipient.address, fate, reply.code, reply.enhanced, reply.text)
