"""How fast things happen: the events of the last seconds, counted by kind, at a bounded cost."""

from __future__ import annotations

import asyncio
from collections import Counter

from relay.store.client import StoreClient
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.outbox import entries_of


class Pace:
    """Reads the newest entries of all partitions' streams; never changes anything."""

    def __init__(
        self, client: StoreClient, partitions: int, *, seconds: int = 10, entries: int = 1000
    ) -> None:
        """`entries`: of a partition's stream, looked at most; one has up to a hundred events."""
        self._client = client
        self._keys = [partition_keys(number, partitions) for number in range(partitions)]
        self._seconds = seconds
        self._entries = entries

    async def rates(self, now_ms: int) -> dict[str, float]:
        """Events a second by kind, in lower case (relay.store.outbox). Raises StoreUnavailable."""
        every = await asyncio.gather(*(self._rates(keys, now_ms) for keys in self._keys))
        total: Counter[str] = Counter()
        for rates in every:
            total.update(rates)
        return dict(total)

    async def _rates(self, keys: PartitionKeys, now_ms: int) -> dict[str, float]:
        since = now_ms - self._seconds * 1000
        page = await self._client.read("XREVRANGE", keys.events, "+", since, "COUNT", self._entries)
        counts: Counter[str] = Counter()
        for stream_id, fields in page:
            counts.update(entry.kind.lower() for entry in entries_of(stream_id.decode(), fields))
        if len(page) == self._entries:
            # More than was looked at: they stand for the time that they are from.
            since = int(page[-1][0].partition(b"-")[0])
        seconds = max(now_ms - since, 1) / 1000
        return {kind: count / seconds for kind, count in counts.items()}
