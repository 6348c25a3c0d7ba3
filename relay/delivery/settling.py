"""Settling in batches: whatever is ready while one call is in flight goes in the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from relay import log, metrics
from relay.delivery.book import LeaseBook
from relay.errors import StoreUnavailable
from relay.store.leasing import MOST_DELIVERIES, MOST_OCTETS, Leasing, Settlement

_log = log.logger("relay.delivery")
#: Seconds between offers of an outcome that the store did not take.
_PAUSE = 1.0
#: Seconds for which outcomes are remembered, and how many at most: beyond that the oldest go.
_REMEMBERED = 60.0
_MOST_REMEMBERED = 20_000

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
        #: Outcomes that the store took, and when; None: they are not remembered.
        self._memory: deque[tuple[float, Settlement]] | None = None

    def remember(self) -> None:
        """Remember the outcomes of the last minute, for a store that may lose what it took."""
        self._memory = deque(maxlen=_MOST_REMEMBERED)

    def offer_again(self) -> None:
        """Another primary answers: what the last one took may be unknown to it."""
        if not self._memory:
            return
        self._forget()
        again, self._memory = self._memory, deque(maxlen=_MOST_REMEMBERED)
        _log.warning("another primary of the store: outcomes are offered again", count=len(again))
        for _, item in again:
            self.add(item)

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
            words = answer.result()
            if b"lost" in words:
                lost = [item for item, word in zip(batch, words, strict=True) if word == b"lost"]
                asked = self._leasing.retake(partition, [item.lease for item in lost])
                asked.add_done_callback(lambda told: self._retaken(partition, lost, told))
            else:
                self._go(partition)
            self._note(batch)
            for item, word in zip(batch, words, strict=True):
                if word != b"lost":
                    self._settled(item, word.decode())
                    self._book.strike(item.lease)
            return
        self._again(partition, batch, error)

    def _retaken(
        self, partition: int, lost: Sequence[Settlement], answer: asyncio.Future[list[bytes]]
    ) -> None:
        """Settle what it was the store that lost; the rest is another's, or was settled."""
        error = answer.exception()
        if error is not None:
            self._again(partition, lost, error)
            return
        words = answer.result()
        kept = [
            item for item, word in zip(lost, words, strict=True) if word in (b"retaken", b"kept")
        ]
        self._waiting[partition][:0] = kept
        self._go(partition)
        for item, word in zip(lost, words, strict=True):
            if word in (b"retaken", b"kept"):
                continue
            metrics.POSSIBLE_DOUBLES.inc(word == b"doubled")
            self._settled(item, "lost")
            self._book.strike(item.lease)

    def _again(self, partition: int, batch: Sequence[Settlement], error: BaseException) -> None:
        # The same words again are harmless, and the outcome must not be lost.
        self._waiting[partition][:0] = batch
        what = (
            "the store is away, outcomes wait"
            if isinstance(error, StoreUnavailable)
            else "outcomes were refused"
        )
        _log.error(what, error=str(error), outcomes=len(self._waiting[partition]))
        self._loop.call_later(_PAUSE, self._go, partition)

    def _note(self, batch: Sequence[Settlement]) -> None:
        """Remember these for a while."""
        if self._memory is not None:
            now = self._loop.time()
            self._memory.extend((now, item) for item in batch)
            self._forget()

    def _forget(self) -> None:
        """Outcomes that every replica has had the time for."""
        memory, before = self._memory, self._loop.time() - _REMEMBERED
        while memory and memory[0][0] < before:
            memory.popleft()


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
