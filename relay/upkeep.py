"""Upkeep: what time and lost workers call for, done by every worker for all.

Nobody leads: each step is one script that gives each caller the next ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from relay import log, metrics
from relay.errors import RelayError
from relay.policy.retention import retention_ms
from relay.store.client import StoreClient
from relay.store.keys import reference
from relay.store.memory import memory
from relay.store.timing import Timing
from relay.store.wire import ReplyError

#: Calls of one step at most in one round; the next round goes on. There is one a second and fifty
#: deliveries a call, and a hundred thousand may be due at nine o'clock.
_MOST_CALLS = 200
#: The broker holds enough wake-ups when there are so many for each slot of the fleet.
_ENOUGH = 4
#: Seconds that one turn waits for the partitions, where there are several.
_TURN = 1.0
_log = log.logger("relay.upkeep")


class Pump:
    """One round: `turn`. `ring` publishes wake-ups, `depth` counts those in the broker."""

    def __init__(
        self,
        timing: Timing,
        partitions: int,
        *,
        ring: Callable[[Sequence[str]], None],
        depth: Callable[[], Awaitable[int]],
        slots: Callable[[], int],
    ) -> None:
        self._timing = timing
        self._partitions = partitions
        self._ring = ring
        self._depth = depth
        self._slots = slots
        self._tending: dict[int, asyncio.Task[None]] = {}
        #: There was something to ring lately, or it was left; else the broker need not be asked.
        self._rang = True

    async def turn(self) -> None:
        """Promote what is due, reclaim what was lost, and ring whoever is to be rung."""
        silent = self._rang and await self._enough()
        self._rang = silent
        if self._partitions == 1:
            await self._tend(0, silent=silent)
            return
        idle = [number for number in range(self._partitions) if number not in self._tending]
        for number in idle:
            task = asyncio.get_running_loop().create_task(self._tend(number, silent=silent))
            self._tending[number] = task
            task.add_done_callback(partial(self._tended, number))
        # One whose node is away goes on by itself, and holds up no other.
        await asyncio.wait([self._tending[number] for number in idle], timeout=_TURN)

    async def _tend(self, partition: int, *, silent: bool) -> None:
        await self._reclaim(partition)
        await self._promote(partition)
        if not silent:
            await self._wake(partition)

    def _tended(self, partition: int, task: asyncio.Task[None]) -> None:
        del self._tending[partition]
        if not task.cancelled() and task.exception() is not None:
            _log.warning("upkeep failed", partition=partition, error=str(task.exception()))

    async def _enough(self) -> bool:
        """Whether the broker holds more wake-ups than the fleet can use."""
        try:
            return await self._depth() > _ENOUGH * max(self._slots(), 1)
        except (RelayError, ReplyError):
            # It cannot be asked: the doorbell keeps what it can, and drops the rest.
            return False

    async def _promote(self, partition: int) -> None:
        for _ in range(_MOST_CALLS):
            done = await self._timing.promote(partition)
            self._tell(partition, done.queues)
            if not done.count:
                return

    async def _reclaim(self, partition: int) -> None:
        for _ in range(_MOST_CALLS):
            done = await self._timing.reclaim(partition)
            lost = done.count + done.held
            if lost:
                metrics.RECLAIMED.inc(lost)
                metrics.POSSIBLE_DOUBLES.inc(lost)
                metrics.HELD["poison"].inc(done.held)
                _log.warning("leases reclaimed", partition=partition, leases=lost, held=done.held)
            self._tell(partition, done.queues)
            if not lost:
                return

    async def _wake(self, partition: int) -> None:
        for _ in range(_MOST_CALLS):
            _, queues = await self._timing.ring(partition)
            self._tell(partition, queues)
            if not queues:
                return

    def _tell(self, partition: int, queues: Sequence[str]) -> None:
        if queues:
            self._rang = True
            self._ring([reference(partition, queue) for queue in queues])


class Retains(Protocol):
    """What ends the records of messages."""

    #: How long a closed record is kept, in milliseconds.
    retention_ms: int


class Retention:
    """Keeps how long closed records are kept in step with the store's memory."""

    def __init__(self, client: StoreClient, holders: Iterable[Retains]) -> None:
        self._client = client
        self._holders = tuple(holders)

    async def look(self) -> None:
        """Read how full the store is. Raises StoreUnavailable."""
        kept = retention_ms(*await memory(self._client))
        for holder in self._holders:
            holder.retention_ms = kept
