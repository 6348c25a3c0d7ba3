"""Deliveries by age, at a bounded cost: all of them where they are few, else a sample of each age.

A sample is read in short runs spread evenly over the ranks of an age, and each delivery of it
stands for as many as its age has for one that was looked at. It is no snapshot: what comes and goes
meanwhile may be met or missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from relay.store.client import StoreClient
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.walk import Met, Walk

#: Neighbours read together: they came in together, so that few of them tell much.
_RUN = 20
#: Runs read at a time.
_AT_ONCE = 50


class Portion(Struct, frozen=True):
    """Deliveries that were looked at, and how many each of them stands for."""

    met: Sequence[Met]
    weight: float


class Strata:
    """Reads the deliveries of all partitions by the ages of `bounds`, in seconds, ascending."""

    def __init__(
        self, client: StoreClient, partitions: int, bounds: Sequence[int], sample: int
    ) -> None:
        """`sample`: deliveries looked at, about; 0: all of them."""
        self._client = client
        self._partitions = partitions
        self._bounds = bounds
        self._sample = sample
        self._walk = Walk(client, partitions)
        #: Whether a part stood for the whole.
        self.sampled = False

    @property
    def unread(self) -> int:
        """Deliveries that a newer version wrote or that are damaged: passed over."""
        return self._walk.unread

    async def portions(self, now_ms: int) -> AsyncIterator[Portion]:
        """What there is, a portion at a time. Raises StoreUnavailable."""
        keys = [partition_keys(number, self._partitions) for number in range(self._partitions)]
        total = sum([await self._client.read("ZCARD", each.age) for each in keys])
        self.sampled = 0 < self._sample < total
        if not self.sampled:
            async for met in self._walk.all():
                yield Portion(met, 1.0)
            return
        share = max(_RUN, self._sample // (len(keys) * (len(self._bounds) + 1)))
        for partition, each in enumerate(keys):
            for first, count in await self._ranks(each, now_ms):
                async for portion in self._of(partition, each, first, count, share):
                    yield portion

    async def _ranks(self, keys: PartitionKeys, now_ms: int) -> list[tuple[int, int]]:
        """The first rank and the number of each age's deliveries, the oldest first."""
        asks = (
            self._client.read("ZCOUNT", keys.age, "-inf", f"({now_ms - bound * 1000}")
            for bound in reversed(self._bounds)
        )
        ends = [*await asyncio.gather(*asks), await self._client.read("ZCARD", keys.age)]
        ranks, first = [], 0
        for end in ends:
            ranks.append((first, max(0, end - first)))
            first = max(first, end)
        return ranks

    async def _of(
        self, partition: int, keys: PartitionKeys, first: int, count: int, share: int
    ) -> AsyncIterator[Portion]:
        runs = -(-min(count, share) // _RUN)
        looked_at = min(count, runs * _RUN)
        if not looked_at:
            return
        weight = count / looked_at
        starts = [first + (count - looked_at) * at // runs + at * _RUN for at in range(runs)]
        last = first + count - 1
        for at in range(0, runs, _AT_ONCE):
            asks = [
                self._client.read(
                    "ZRANGE", keys.age, start, min(start + _RUN - 1, last), "WITHSCORES"
                )
                for start in starts[at : at + _AT_ONCE]
            ]
            flat = [value for answer in await asyncio.gather(*asks) for value in answer]
            yield Portion(await self._walk.met(partition, keys, flat), weight)
