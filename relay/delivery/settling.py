"""Settling in batches: whatever is ready while one call is in flight goes in the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from relay import log
from relay.delivery.book import LeaseBook
from relay.errors import StoreUnavailable
from relay.store.leasing import MOST_DELIVERIES, MOST_OCTETS, Leasing, Settlement

_log = log.logger("relay.delivery")
#: Seconds between offers of an outcome that the store did not take.
_PAUSE = 1.0

Settled = Callable[[Settlement, str], None]


class Settler:
    """Offers outcomes until the store answers, however long it is away (invariant 2)."""

    def __init__(self, leasing: Leasing, book: LeaseBook, settled: Settled) -> None:
        self._leasing = leasing
        self._book = book
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, list[Settlement]] = {}
        self._busy: set[int] = set()
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()

    def add(self, item: Settlement) -> None:
        """Record an outcome soon."""
        partition = item.lease.partition
        queue = self._waiting.setdefault(partition, [])
        queue.append(item)
        self._idle.clear()
        if partition not in self._busy:
            self._busy.add(partition)
            self._loop.call_soon(self._go, partition)

    async def drained(self) -> None:
        """Wait until all outcomes are recorded."""
        await self._idle.wait()

    @property
    def pending(self) -> int:
        """Outcomes that are not recorded yet and not in flight."""
        return sum(map(len, self._waiting.values()))

    def _go(self, partition: int) -> None:
        batch = _portion(self._waiting[partition])
        if not batch:
            self._busy.discard(partition)
            if not self._busy:
                self._idle.set()
            return
        for item in batch:
            self._book.settles(item.lease)
        asked = self._leasing.settle(partition, batch)
        asked.add_done_callback(lambda answer: self._answered(partition, batch, answer))

    def _answered(
        self, partition: int, batch: Sequence[Settlement], answer: asyncio.Future[list[bytes]]
    ) -> None:
        error = answer.exception()
        if error is None:
            self._go(partition)
            for item, word in zip(batch, answer.result(), strict=True):
                self._settled(item, word.decode())
                self._book.strike(item.lease)
            return
        # The same words again are harmless, and the outcome must not be lost.
        self._waiting[partition][:0] = batch
        what = (
            "the store is away, outcomes wait"
            if isinstance(error, StoreUnavailable)
            else "outcomes were refused"
        )
        _log.error(what, error=str(error), outcomes=len(self._waiting[partition]))
        self._loop.call_later(_PAUSE, self._go, partition)


def _portion(queue: list[Settlement]) -> list[Settlement]:
    """Take what fits into one call."""
    octets = count = 0
    for item in queue[:MOST_DELIVERIES]:
        octets += len(item.attempt) + len(item.body)
        if count and octets > MOST_OCTETS:
            break
        count += 1
    portion = queue[:count]
    del queue[:count]
    return portion
