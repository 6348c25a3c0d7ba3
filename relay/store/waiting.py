"""What keeps a queue, or one delivery in it, from going on, as the store has it."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from relay.mail.reply import Reply
from relay.store.client import StoreClient
from relay.store.codec import Place, Stored
from relay.store.control import Paused, paused_of
from relay.store.keys import partition_keys
from relay.store.replies import NO_REPLY, parked_now, reply_in


class QueueState(Struct, frozen=True):
    """A queue in one partition; times are of the store's clock, in ms, 0 where there is none."""

    queue: str
    #: Deliveries of it that are due.
    ready: int
    #: It, or the tenant, is held as a whole.
    paused: tuple[Paused, ...]
    #: When it is rung next.
    wake_ms: int
    #: Until when it rests, and what its site said.
    parked_ms: int = 0
    reply: Reply = NO_REPLY


class Waiting:
    """Reads it; never changes anything. Every call raises StoreUnavailable."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._read = client.read
        self._partitions = partitions

    async def now(self) -> int:
        """The store's clock, in ms."""
        seconds, micros = await self._read("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def queue(self, partition: int, queue: str, tenant: str | None) -> QueueState:
        """A queue, and whether it or the tenant (None: nobody's) is held as a whole."""
        keys = partition_keys(partition, self._partitions)
        names = [f"q:{queue}"] + ([f"t:{tenant}"] if tenant is not None else [])
        ready, holds, wake, reason = await asyncio.gather(
            self._read("ZLEXCOUNT", keys.ready, f"[{queue}|", f"({queue}}}"),
            self._read("HMGET", keys.paused, *names),
            self._read("ZSCORE", keys.wake, queue),
            self._read("HGET", keys.reasons, queue),
        )
        wake_ms = int(float(wake or 0))
        parked_ms = parked_now(reason, wake_ms) if reason else 0
        return QueueState(
            queue=queue,
            ready=ready,
            paused=tuple(
                paused_of(name.encode(), value)[1]
                for name, value in zip(names, holds, strict=True)
                if value is not None
            ),
            wake_ms=wake_ms,
            parked_ms=parked_ms,
            reply=reply_in(reason) if parked_ms else NO_REPLY,
        )

    async def score(self, partition: int, delivery: str, stored: Stored) -> int:
        """Until when a delivery is leased, or since when it is held, in ms; else 0."""
        keys = partition_keys(partition, self._partitions)
        where = {Place.LEASED: keys.leased, Place.HELD: keys.held}.get(stored.place)
        return int(float(await self._read("ZSCORE", where, delivery) or 0)) if where else 0
