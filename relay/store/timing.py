"""What time does in the queue: promote, ring and reclaim, for one partition at a time."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from relay.errors import UnreadableRecord
from relay.store.client import StoreClient
from relay.store.codec import decode_stored
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.script import Text, script

PROMOTE, RING, RECLAIM = script("promote"), script("ring"), script("reclaim")
#: Deliveries or queues that one call moves at most.
MOST = 50


class TimingOptions(Struct, frozen=True):
    """Times in milliseconds."""

    lease_ms: int = 30_000
    deadline_ms: int = 10_000
    #: How old a delivery may get before it expires.
    longest_ms: int = 5 * 24 * 3600 * 1000
    #: Farthest ahead that a delivery may be due.
    ahead_ms: int = 366 * 24 * 3600 * 1000
    #: Longest time that a queue is parked.
    parked_ms: int = 24 * 3600 * 1000


class Promoted(Struct, frozen=True):
    """How many deliveries moved, when the next is due, and whom to ring.

    `next_ms` is a time of the store's clock, 0 where nothing waits.
    """

    count: int
    next_ms: int
    queues: tuple[str, ...]


class Reclaimed(Struct, frozen=True):
    """How many leases were taken back, how many deliveries were held instead, and whom to ring."""

    count: int
    held: int
    queues: tuple[str, ...]
    #: Nothing is reclaimed before this time (ms by the store's clock); 0 where there is no grace.
    grace_ms: int = 0


class Timing:
    """Says the scripts that time calls for."""

    def __init__(self, client: StoreClient, partitions: int, options: TimingOptions) -> None:
        self._client = client
        self._partitions = partitions
        self._options = options
        #: How long a closed record is kept, in ms (policy.retention).
        self.retention_ms = 24 * 3600 * 1000

    async def promote(self, partition: int) -> Promoted:
        """Make due deliveries ready, end what is too old, and have senders told of what is late."""
        keys = partition_keys(partition, self._partitions)
        count, next_ms, queues, named = await self._promote(keys, ())
        if named:
            again = await self._promote(keys, named)
            count, next_ms, queues = count + again[0], again[1], queues + again[2]
        return Promoted(count, next_ms, tuple(queues))

    async def _promote(
        self, keys: PartitionKeys, candidates: Sequence[str]
    ) -> tuple[int, int, list[str], list[str]]:
        names = keys.of(PROMOTE)
        options = self._options
        args: list[Text] = [
            MOST,
            options.deadline_ms,
            options.longest_ms,
            options.ahead_ms,
            self.retention_ms,
        ]
        if candidates:
            values = await self._client.read("HMGET", keys.deliveries, *candidates)
            for delivery, value in zip(candidates, values, strict=True):
                try:
                    chunks = decode_stored(value).chunks if value else 0
                except UnreadableRecord:
                    continue
                contents = keys.contents(delivery[:20], chunks)
                names += (keys.record(delivery[:20]), *contents)
                args += (delivery, len(contents))
        count, next_ms, queues, named = await self._client.call(PROMOTE, names, args)
        return count, next_ms, [q.decode() for q in queues], [n.decode() for n in named]

    async def ring(self, partition: int) -> tuple[int, list[str]]:
        """When the next queue is to be rung (by the store's clock; 0: none), and which are now."""
        keys = partition_keys(partition, self._partitions)
        options = self._options
        args = (MOST, options.deadline_ms, options.parked_ms)
        next_ms, *queues = await self._client.call(RING, keys.of(RING), args)
        return next_ms, [queue.decode() for queue in queues]

    async def reclaim(self, partition: int) -> Reclaimed:
        """Take back leases that expired."""
        keys = partition_keys(partition, self._partitions)
        args = (self._options.lease_ms, MOST)
        word, *rest = await self._client.call(RECLAIM, keys.of(RECLAIM), args)
        if word == b"grace":
            return Reclaimed(0, 0, (), rest[0])
        return Reclaimed(rest[0], rest[1], tuple(queue.decode() for queue in rest[2:]))
