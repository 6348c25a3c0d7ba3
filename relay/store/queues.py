"""How much waits, by queue: exact totals, and counts that look at a bounded number of deliveries.

Nothing is scanned. Ready deliveries are counted by the sorted set they lie in, one look a queue;
where the others are more than the sample, the oldest and the next ones are counted, and `partial`
says that there are more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from relay.errors import UnreadableRecord
from relay.mail.ids import partition_of
from relay.store.client import StoreClient
from relay.store.codec import Place, Stored, decode_stored
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.leasing import KEPT_DEFERRALS
from relay.store.replies import parked_now

#: Deliveries read, and queues counted, at a time.
_BATCH = 500


class QueueCount(Struct):
    """What waits in one queue, in deliveries, all partitions together."""

    queue: str
    ready: int = 0
    leased: int = 0
    later: int = 0
    held: int = 0
    #: When the oldest was accepted, by the store's clock; 0 where it is not in the sample.
    oldest_ms: int = 0
    #: When the next of those in later is due; 0 where there is none.
    next_ms: int = 0
    #: Until when it is parked; 0 where it is not, or no longer.
    parked_ms: int = 0
    #: Why it is parked, or was (relay.store.replies).
    reason: bytes = b""
    #: It is held as a whole.
    paused: bool = False
    #: A delivery in later that was attempted before: its record has the queue's last reply.
    deferred: str = ""

    @property
    def total(self) -> int:
        """All of them."""
        return self.ready + self.leased + self.later + self.held


class Totals(Struct):
    """All deliveries of the store by place; exact."""

    ready: int = 0
    leased: int = 0
    later: int = 0
    held: int = 0


class QueueCounts(Struct, frozen=True):
    """The queues, fullest first, and the totals."""

    queues: tuple[QueueCount, ...]
    totals: Totals
    #: There are more deliveries or queues than were looked at.
    partial: bool
    #: The store's clock, in ms.
    now_ms: int
    #: Deliveries in the sample that this process cannot read: they are in the totals alone.
    unreadable: int = 0


class Queues:
    """Counts the deliveries of all partitions; never changes anything."""

    def __init__(self, client: StoreClient, partitions: int, sample: int = 10_000) -> None:
        self._client = client
        self._partitions = partitions
        self._sample = sample

    async def count(self) -> QueueCounts:
        """The queues as they are now. Raises StoreUnavailable."""
        seconds, micros = await self._client.read("TIME")
        counts: dict[str, QueueCount] = {}
        totals = Totals()
        partial, unreadable = False, 0
        for partition in range(self._partitions):
            keys = partition_keys(partition, self._partitions)
            partial |= await self._totals(keys, totals)
            partial |= await self._ready(keys, counts)
            unreadable += await self._others(keys, counts)
            await self._parked(keys, counts)
        fullest = sorted(counts.values(), key=lambda count: (-count.total, count.queue))
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        return QueueCounts(tuple(fullest), totals, partial, now_ms, unreadable)

    async def last_attempts(self, delivery: str) -> list[bytes | None]:
        """The deferrals that the record keeps of a delivery (relay.store.replies)."""
        message, number = delivery[:20], delivery[21:]
        keys = partition_keys(partition_of(message), self._partitions)
        slots = (f"a{number}.{slot}" for slot in range(KEPT_DEFERRALS))
        values: list[bytes | None] = await self._client.read("HMGET", keys.record(message), *slots)
        return values

    async def _totals(self, keys: PartitionKeys, totals: Totals) -> bool:
        names = (keys.ready, keys.leased, keys.later, keys.held)
        ready, leased, later, held = [await self._client.read("ZCARD", name) for name in names]
        totals.ready += ready
        totals.leased += leased
        totals.later += later
        totals.held += held
        return bool(max(leased, later, held) > self._sample)

    async def _ready(self, keys: PartitionKeys, counts: dict[str, QueueCount]) -> bool:
        """Count what is ready, a look for each queue that has a wake entry or is held."""
        most = self._sample - 1
        names = await self._client.read("ZRANGE", keys.wake, 0, most)
        paused = await self._client.read("HKEYS", keys.paused)
        aside = await self._client.read("ZRANGE", keys.aside, 0, most)
        held = {name[2:].decode() for name in paused if name.startswith(b"q:")}
        queues = {name.decode() for name in names} | held
        queues |= {member.split(b"|")[1].decode() for member in aside}
        for batch in _batches(sorted(queues)):
            looks = [
                self._client.read("ZLEXCOUNT", keys.ready, f"[{queue}|", f"({queue}}}")
                for queue in batch
            ]
            for queue, ready in zip(batch, await asyncio.gather(*looks), strict=True):
                if ready:
                    _of(counts, queue).ready += ready
        for queue in held & counts.keys():
            counts[queue].paused = True
        return len(names) > most or len(aside) > most

    async def _others(self, keys: PartitionKeys, counts: dict[str, QueueCount]) -> int:
        """Count what is not ready, and find the oldest, within the sample.

        How many deliveries of it cannot be read.
        """
        most = self._sample - 1
        later = await self._client.read("ZRANGE", keys.later, 0, most)
        leased = await self._client.read("ZRANGE", keys.leased, 0, most)
        held = await self._client.read("ZRANGE", keys.held, 0, most)
        ages = await self._client.read("ZRANGE", keys.age, 0, most, "WITHSCORES")
        accepted = {ages[at]: int(float(ages[at + 1])) for at in range(0, len(ages), 2)}
        unreadable = 0
        for batch in _batches(list(dict.fromkeys((*later, *leased, *held, *accepted)))):
            found, unread = await self._stored(keys, batch)
            unreadable += unread
            for name, stored in found:
                _add(_of(counts, stored.queue), name.decode(), stored, accepted.get(name, 0))
        return unreadable

    async def _stored(
        self, keys: PartitionKeys, names: Sequence[bytes]
    ) -> tuple[list[tuple[bytes, Stored]], int]:
        values = await self._client.read("HMGET", keys.deliveries, *names)
        found, unreadable = [], 0
        for name, value in zip(names, values, strict=True):
            try:
                if value is not None:
                    found.append((name, decode_stored(value)))
            except UnreadableRecord:
                unreadable += 1
        return found, unreadable

    async def _parked(self, keys: PartitionKeys, counts: dict[str, QueueCount]) -> None:
        for batch in _batches(sorted(counts)):
            reasons = await self._client.read("HMGET", keys.reasons, *batch)
            wakes = await self._client.read("ZMSCORE", keys.wake, *batch)
            for queue, reason, wake in zip(batch, reasons, wakes, strict=True):
                if reason is not None:
                    counts[queue].reason = reason
                    counts[queue].parked_ms = parked_now(reason, int(float(wake or 0)))


def _of(counts: dict[str, QueueCount], queue: str) -> QueueCount:
    return counts.setdefault(queue, QueueCount(queue))


def _add(count: QueueCount, name: str, stored: Stored, accepted_ms: int) -> None:
    if stored.place in (Place.LATER, Place.STAGED):
        count.later += 1
        count.next_ms = _first(count.next_ms, stored.ms)
        if stored.attempts and not count.deferred:
            count.deferred = name
    elif stored.place is Place.LEASED:
        count.leased += 1
    elif stored.place is Place.HELD:
        count.held += 1
    count.oldest_ms = _first(count.oldest_ms, accepted_ms)


def _first(one: int, other: int) -> int:
    """The earlier time; 0 is none."""
    return min(one, other) if one and other else one or other


def _batches(names: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (names[at : at + _BATCH] for at in range(0, len(names), _BATCH))
