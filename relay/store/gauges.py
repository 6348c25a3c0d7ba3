"""How much is in the store: a few counts a partition, each of one look, whatever there is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct

from relay.store.client import StoreClient
from relay.store.keys import PartitionKeys, partition_keys

#: The bounds of qshape's columns, in seconds.
AGES = tuple(60 * minutes for minutes in (5, 10, 20, 40, 80, 160, 320, 640, 1280))
#: Deliveries looked at for the oldest that is not held: so many at a time, and so often.
_LOOK, _LOOKS = 100, 10

T = TypeVar("T")


class Gauges(Struct, frozen=True, kw_only=True):
    """All partitions together. Ages in seconds, by the store's clock; 0 where there is nothing."""

    #: Deliveries by place.
    later: int
    ready: int
    leased: int
    held: int
    #: Events in the outbox.
    events: int
    #: Queues whose next wake-up is farther ahead than the deadline of one that was rung.
    parked: int
    #: Queues whose wake-up is as much too late: nobody rings.
    overdue: int
    #: Deliveries not older than each of AGES, and all.
    ages: tuple[int, ...]
    #: The oldest delivery, and the oldest that is not held.
    oldest: float
    oldest_active: float
    #: By consumer: the oldest event that was not applied.
    lags: dict[str, float]
    #: Seconds that one look took, there and back.
    round_trip: float


class FleetGauges:
    """Reads them: in a few round trips, by some twenty commands a partition that scan nothing."""

    def __init__(
        self,
        client: StoreClient,
        partitions: int,
        *,
        deadline_ms: int,
        consumers: Sequence[str] = (),
    ) -> None:
        """`deadline_ms`: how far ahead a queue's wake entry is when it was rung."""
        self._client = client
        self._keys = [partition_keys(number, partitions) for number in range(partitions)]
        self._deadline_ms = deadline_ms
        self._consumers = consumers

    async def read(self) -> Gauges:
        """The gauges now. Raises StoreUnavailable, ReplyError."""
        # uvloop's own clock knows no less than a millisecond.
        began = time.perf_counter()
        seconds, micros = await self._client.read("TIME")
        round_trip = time.perf_counter() - began
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        every = await self._each(self._counts(keys, now_ms) for keys in self._keys)
        ages = await self._each(self._ages(keys, now_ms) for keys in self._keys)
        firsts = await self._each(map(self._oldest, self._keys))
        later, ready, leased, held, events, parked, overdue = map(sum, zip(*every, strict=True))
        return Gauges(
            later=later,
            ready=ready,
            leased=leased,
            held=held,
            events=events,
            parked=parked,
            overdue=overdue,
            ages=tuple(map(sum, zip(*ages, strict=True))),
            oldest=_age(now_ms, [any_ for any_, _ in firsts]),
            oldest_active=_age(now_ms, [active for _, active in firsts]),
            lags={one: await self._lag(one, now_ms) for one in self._consumers},
            round_trip=round_trip,
        )

    async def _each(self, asks: Iterable[Awaitable[T]]) -> list[T]:
        return await asyncio.gather(*asks)

    async def _counts(self, keys: PartitionKeys, now_ms: int) -> list[int]:
        ask = self._client.read
        return await asyncio.gather(
            ask("ZCARD", keys.later),
            ask("ZCARD", keys.ready),
            ask("ZCARD", keys.leased),
            ask("ZCARD", keys.held),
            ask("XLEN", keys.events),
            ask("ZCOUNT", keys.wake, f"({now_ms + self._deadline_ms}", "+inf"),
            ask("ZCOUNT", keys.wake, "-inf", now_ms - self._deadline_ms),
        )

    async def _ages(self, keys: PartitionKeys, now_ms: int) -> list[int]:
        ask = self._client.read
        bounds = (ask("ZCOUNT", keys.age, now_ms - age * 1000, "+inf") for age in AGES)
        return await asyncio.gather(*bounds, ask("ZCARD", keys.age))

    async def _oldest(self, keys: PartitionKeys) -> tuple[int, int]:
        """When the oldest delivery was accepted, and the oldest not held, in ms; 0: there is none.

        Where the first thousand are all held, the last of them stands for what comes after.
        """
        first = last = 0
        for start in range(0, _LOOK * _LOOKS, _LOOK):
            found = await self._client.read(
                "ZRANGE", keys.age, start, start + _LOOK - 1, "WITHSCORES"
            )
            if not found:
                return first, 0
            first = first or int(float(found[1]))
            held = await self._client.read("ZMSCORE", keys.held, *found[::2])
            for accepted, score in zip(found[1::2], held, strict=True):
                last = int(float(accepted))
                if score is None:
                    return first, last
        return first, last

    async def _lag(self, consumer: str, now_ms: int) -> float:
        """How old the oldest event is that a consumer has not applied."""
        oldest = []
        for keys in self._keys:
            cursor = await self._client.read("HGET", keys.cursors, consumer)
            after = b"(" + cursor if cursor else "-"
            found = await self._client.read("XRANGE", keys.events, after, "+", "COUNT", 1)
            oldest += [int(event[0].partition(b"-")[0]) for event in found]
        return _age(now_ms, oldest)


def _age(now_ms: int, times: Sequence[int]) -> float:
    """The age of the earliest of these times, of which 0 is none."""
    return max(now_ms - min((time for time in times if time), default=now_ms), 0) / 1000
