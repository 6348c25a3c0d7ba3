"""How much is in the store: a few counts a partition, each of one look, whatever there is."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from relay.store.client import StoreClient
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.memory import memory


class Gauges(Struct, frozen=True, kw_only=True):
    """All partitions together."""

    #: Deliveries by place.
    later: int
    ready: int
    leased: int
    held: int
    #: Events in the outbox.
    events: int
    #: Queues whose next wake-up is farther ahead than the deadline of one that was rung.
    parked: int
    #: Seconds since the oldest delivery was accepted, by the store's clock; 0 where there is none.
    oldest: float
    #: Octets used, and at most (0: no limit).
    memory_used: int
    memory_max: int


class FleetGauges:
    """Reads them: in three round trips, by seven commands a partition that scan nothing."""

    def __init__(self, client: StoreClient, partitions: int, *, deadline_ms: int) -> None:
        """`deadline_ms`: how far ahead a queue's wake entry is when it was rung."""
        self._client = client
        self._keys = [partition_keys(number, partitions) for number in range(partitions)]
        self._deadline_ms = deadline_ms

    async def read(self) -> Gauges:
        """The gauges now. Raises StoreUnavailable, ReplyError."""
        clock = self._client.read("TIME")
        (seconds, micros), (used, most) = await asyncio.gather(clock, memory(self._client))
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        every = await asyncio.gather(*(self._counts(keys, now_ms) for keys in self._keys))
        firsts = await asyncio.gather(*map(self._oldest, self._keys))
        later, ready, leased, held, events, parked = map(sum, zip(*every, strict=True))
        oldest = min((first for first in firsts if first), default=now_ms)
        return Gauges(
            later=later,
            ready=ready,
            leased=leased,
            held=held,
            events=events,
            parked=parked,
            oldest=max(now_ms - oldest, 0) / 1000,
            memory_used=used,
            memory_max=most,
        )

    async def _counts(self, keys: PartitionKeys, now_ms: int) -> list[int]:
        ask = self._client.read
        counts: list[int] = await asyncio.gather(
            ask("ZCARD", keys.later),
            ask("ZCARD", keys.ready),
            ask("ZCARD", keys.leased),
            ask("ZCARD", keys.held),
            ask("XLEN", keys.events),
            ask("ZCOUNT", keys.wake, f"({now_ms + self._deadline_ms}", "+inf"),
        )
        return counts

    async def _oldest(self, keys: PartitionKeys) -> int:
        """When the partition's oldest delivery was accepted, in ms; 0 where there is none."""
        first = await self._client.read("ZRANGE", keys.age, 0, 0, "WITHSCORES")
        return int(float(first[1])) if first else 0
