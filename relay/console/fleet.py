"""The gauges of the whole fleet: read from the store and the broker, for the exporter to serve."""

from __future__ import annotations

import asyncio

from relay import log, metrics
from relay.errors import RelayError
from relay.store.client import StoreClient
from relay.store.doorbell import Doorbell
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.memory import memory
from relay.store.replies import parked_now

_log = log.logger("relay.exporter")

#: Seconds between two readings.
INTERVAL = 5.0
#: Parked queues read at a time.
_BATCH = 1000


class Fleet:
    """Sets the gauges of `relay.metrics`; it only reads, so any number of them may run."""

    def __init__(self, client: StoreClient, partitions: int, doorbell: Doorbell) -> None:
        self._client = client
        self._keys = [partition_keys(number, partitions) for number in range(partitions)]
        self._doorbell = doorbell
        #: Why the last reading failed, "" where it worked.
        self.fault = "the store was not read yet"

    async def watch(self) -> None:
        """Read again and again, for as long as this runs."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Read once. What cannot be read keeps its last value, and the store counts as down."""
        try:
            await self._read()
            fault = ""
        except RelayError as error:
            fault = str(error)
        if fault and fault != self.fault:
            _log.warning("the store or the broker cannot be read", reason=fault)
        self.fault = fault
        metrics.STORE_UP.set(not fault)

    async def _read(self) -> None:
        used, limit = await memory(self._client)
        metrics.STORE_MEMORY_USED.set(used)
        metrics.STORE_MEMORY_MAX.set(limit)
        await self._count_places()
        metrics.QUEUE_OLDEST_SECONDS.set(await self._oldest())
        metrics.QUEUE_PARKED.set(sum([await self._parked(keys) for keys in self._keys]))
        lengths = [await self._client.read("XLEN", keys.events) for keys in self._keys]
        metrics.EVENTS_LENGTH.set(sum(lengths))
        metrics.BROKER_TASKS.set(await self._doorbell.depth())

    async def _count_places(self) -> None:
        for place in ("later", "ready", "leased", "held"):
            names = [getattr(keys, place) for keys in self._keys]
            counts = [await self._client.read("ZCARD", name) for name in names]
            metrics.QUEUE_DELIVERIES[place].set(sum(counts))

    async def _oldest(self) -> float:
        """Seconds since the oldest delivery was accepted, by the store's clock; 0 without any."""
        seconds, micros = await self._client.read("TIME")
        now = int(seconds) + int(micros) / 1_000_000
        firsts = [
            await self._client.read("ZRANGE", keys.age, 0, 0, "WITHSCORES") for keys in self._keys
        ]
        accepted = [float(first[1]) / 1000 for first in firsts if first]
        return max(0.0, now - min(accepted)) if accepted else 0.0

    async def _parked(self, keys: PartitionKeys) -> int:
        count, cursor = 0, b"0"
        while True:
            cursor, flat = await self._client.read("HSCAN", keys.reasons, cursor, "COUNT", _BATCH)
            if flat:
                wakes = await self._client.read("ZMSCORE", keys.wake, *flat[::2])
                pairs = zip(flat[1::2], wakes, strict=True)
                count += sum(parked_now(value, int(float(wake or 0))) > 0 for value, wake in pairs)
            if cursor == b"0":
                return count
