"""What the store knows of a message: its record, where each delivery is, what every attempt did."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from relay.errors import NoSuchMessage
from relay.mail.delivery import Attempt, Delivery, Record
from relay.mail.ids import delivery_id, partition_of
from relay.store.client import StoreClient
from relay.store.codec import (
    Ended,
    Flag,
    Stored,
    decode_attempt,
    decode_outcome,
    decode_record,
    decode_stored,
)
from relay.store.keys import PartitionKeys, partition_keys

#: Deliveries read at a time.
_BATCH = 200


class OpenDelivery(Struct, frozen=True):
    """A delivery that is not final, or became so while it was read."""

    number: int
    stored: Stored
    delivery: Delivery
    #: When its queue is rung next, in ms; 0 where it is not to be.
    wake_ms: int = 0
    #: Its queue's value in `reasons` (relay.store.replies); b"" where it was not parked.
    reason: bytes = b""
    #: Its queue or tenant is held as a whole.
    paused: bool = False


class Tried(Struct, frozen=True):
    """An attempt of a delivery that deferred all its recipients."""

    number: int
    attempt: Attempt


class Over(Struct, frozen=True):
    """What made recipients of a delivery final."""

    number: int
    ended: Ended


class StoredMessage(Struct, frozen=True):
    """All that the store has on one message. What is among `outcomes` is final, open or not."""

    id: str
    record: Record
    open: tuple[OpenDelivery, ...]
    #: Oldest first; of a delivery that was deferred often the latest few.
    attempts: tuple[Tried, ...]
    outcomes: tuple[Over, ...]
    #: Attempts whose outcome was lost, so that a recipient may have the message twice.
    possible_doubles: int


class Status:
    """Reads messages of all partitions; never changes anything."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def message(self, message: str) -> StoredMessage:
        """The message with that id. Raises NoSuchMessage, UnreadableRecord, StoreUnavailable."""
        keys = partition_keys(partition_of(message), self._partitions)
        value = await self._client.read("HGET", keys.record(message), "m")
        if value is None:
            raise NoSuchMessage(f"{message}: no such message, or its record's time is over")
        # Deliveries before outcomes: one that ends meanwhile is seen twice, rather than never.
        open_now = await self._open(keys, message, decode_record(value).deliveries)
        flat = await self._client.read("HGETALL", keys.record(message))
        fields = {flat[at]: flat[at + 1] for at in range(0, len(flat), 2)}
        return StoredMessage(
            message,
            decode_record(value),
            await self._with_queues(keys, open_now),
            _attempts(fields),
            _outcomes(fields),
            int(fields.get(b"p", 0)) + sum(_doubts(each.stored) for each in open_now),
        )

    async def _open(
        self, keys: PartitionKeys, message: str, count: int
    ) -> tuple[OpenDelivery, ...]:
        found = []
        for first in range(0, count, _BATCH):
            numbers = range(first, min(first + _BATCH, count))
            names = [delivery_id(message, number) for number in numbers]
            values = await self._client.read("HMGET", keys.deliveries, *names)
            for number, value in zip(numbers, values, strict=True):
                if value is not None:
                    stored = decode_stored(value)
                    found.append(OpenDelivery(number, stored, stored.delivery))
        return tuple(found)

    async def _with_queues(
        self, keys: PartitionKeys, found: Sequence[OpenDelivery]
    ) -> tuple[OpenDelivery, ...]:
        """The same with what is known of their queues."""
        if not found:
            return ()
        queues = sorted({each.stored.queue for each in found})
        names = {_tenant(each.stored) for each in found} | {f"q:{queue}" for queue in queues}
        wake = await self._client.read("ZMSCORE", keys.wake, *queues)
        reasons = await self._client.read("HMGET", keys.reasons, *queues)
        holds = await self._client.read("HMGET", keys.paused, *sorted(names))
        held = {name for name, value in zip(sorted(names), holds, strict=True) if value is not None}
        known = dict(zip(queues, zip(wake, reasons, strict=True), strict=True))
        return tuple(
            structs.replace(
                each,
                wake_ms=int(float(known[each.stored.queue][0] or 0)),
                reason=known[each.stored.queue][1] or b"",
                paused=not held.isdisjoint((_tenant(each.stored), f"q:{each.stored.queue}")),
            )
            for each in found
        )


def _tenant(stored: Stored) -> str:
    return f"t:{stored.lane[1:]}"


def _attempts(fields: dict[bytes, bytes]) -> tuple[Tried, ...]:
    found = [
        Tried(_number(name), decode_attempt(value))
        for name, value in fields.items()
        if name.startswith(b"a")
    ]
    return tuple(sorted(found, key=lambda tried: (tried.number, tried.attempt.number)))


def _outcomes(fields: dict[bytes, bytes]) -> tuple[Over, ...]:
    found = [
        Over(_number(name), decode_outcome(name, value))
        for name, value in fields.items()
        if name.startswith(b"f")
    ]
    return tuple(sorted(found, key=lambda over: (over.number, over.ended.fence)))


def _number(field: bytes) -> int:
    return int(field[1 : field.index(b".")])


def _doubts(stored: Stored) -> int:
    """Leases of a delivery that were lost since its last settle."""
    return 1 + stored.losses if Flag.DOUBT in stored.flags else 0
