"""The doorbell: tells Celery's workers which queues have work, without Celery and without waiting.

A wake-up is a hint. A lost one is rung again by the pump, so nothing here is worth blocking for:
when the broker is away or has more than enough to do, names are kept for a while and then dropped.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

from msgspec import Struct

from relay import metrics
from relay.errors import StoreUnavailable
from relay.store import primary
from relay.store.address import Address
from relay.store.servers import Single
from relay.store.wakeup import wake_up
from relay.store.wire import ReplyError, Wire

logger = logging.getLogger(__name__)

#: Seconds between two attempts to reach the broker: the first, and the longest.
_BACKOFF = (0.05, 5.0)
#: While the broker holds too much, it is asked again this often, in seconds.
_PROBE = 1.0
#: Wake-ups not yet answered by the broker, at most.
_MOST_CALLS = 200


class DoorbellOptions(Struct, frozen=True):
    """How wake-ups are bundled and bounded."""

    #: The list in the broker: Celery's default queue.
    broker_queue: str = "relay"
    #: Seconds between two wake-ups at least; after a pause one goes at once.
    interval: float = 0.005
    #: Seconds more for each queue that the wake-up before named: a task costs a worker a hundred
    #: times what one more name in it costs, so where much is rung, wake-ups are few and full.
    spread: float = 0.001
    #: Seconds more for all that it named, at most: so long a message for a new domain may wait.
    longest: float = 0.02
    #: Queues in one wake-up; as soon as so many wait, it is sent. A worker takes all of them on in
    #: one turn of its loop, 50 us each.
    most_queues: int = 100
    #: Names kept while the broker is away; beyond that the oldest are dropped.
    most_kept: int = 10_000
    #: Wake-ups in the broker from which on no more are added.
    most_waiting: int = 10_000
    #: Seconds for connecting and for each answer.
    timeout: float = 5.0


class Doorbell:
    """Rings for one loop. `ring` is called on it, never waits and never raises."""

    def __init__(self, servers: Single, options: DoorbellOptions | None = None) -> None:
        self._servers = servers
        self._options = options or DoorbellOptions()
        self._names: dict[str, None] = {}
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._place: Address | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._urgent = False
        self._last = self._next = 0.0
        self._waiting = 0
        self._closed = False
        #: Wake-ups that the broker took, and names dropped because it could not or should not.
        self.published = 0
        self.dropped = 0

    def ring(self, queues: Iterable[str]) -> None:
        """Have these queues ("<partition>/<name>") drained by somebody, soon."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        if self._waiting >= self._options.most_waiting and loop.time() - self._last < _PROBE:
            self._drop(sum(1 for _ in queues))
            return
        self._names.update(dict.fromkeys(queues))
        self._trim()
        self._schedule(loop)

    async def depth(self) -> int:
        """Wake-ups that lie in the broker. Raises StoreUnavailable when it gives no answer."""
        await self._connected()
        if self._wire is None:
            raise StoreUnavailable("the broker cannot be reached")
        self._waiting = int(await self._wire.call("LLEN", self._options.broker_queue))
        return self._waiting

    async def close(self) -> None:
        """Ring what is still to be rung, if the broker is there, and close."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._connecting, self._watching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._wire is not None:
            self._publish(self._wire)
            await self._wire.close()

    def _trim(self) -> None:
        excess = len(self._names) - self._options.most_kept
        if excess > 0:
            for name in list(islice(self._names, excess)):
                del self._names[name]
            self._drop(excess)

    def _drop(self, count: int) -> None:
        self.dropped += count
        metrics.RINGS_DROPPED.inc(count)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send at once after a pause or when a wake-up is full, else within the interval."""
        full = len(self._names) >= self._options.most_queues
        if not self._names or self._connecting is not None or self._urgent:
            return
        if self._timer is not None:
            if not full:
                return
            self._timer.cancel()
        left = self._next - loop.time()
        self._urgent = full or left <= 0
        # "At once" is the next turn: what is rung in one turn goes into one wake-up.
        self._timer = loop.call_later(0 if self._urgent else left, self._flush)

    def _flush(self) -> None:
        self._timer, self._urgent = None, False
        if self._wire is None or self._wire.closed:
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect())
            return
        self._publish(self._wire)

    def _publish(self, wire: Wire) -> None:
        options = self._options
        names, self._names = list(self._names), {}
        queue, most = options.broker_queue, options.most_queues
        for start in range(0, len(names), most):
            if wire.in_flight >= _MOST_CALLS:
                self._keep(names[start:])
                break
            batch = names[start : start + most]
            wire.send(partial(self._answered, wire, batch), "LPUSH", queue, wake_up(batch, queue))
        self._last = asyncio.get_running_loop().time()
        self._next = self._last + options.interval
        self._next += min(options.spread * len(names), options.longest)

    def _answered(self, wire: Wire, batch: Sequence[str], answer: Any) -> None:
        if isinstance(answer, int):
            self.published += 1
            metrics.PUBLISHED.inc()
            metrics.RINGS.inc(len(batch))
            self._waiting = answer
        elif isinstance(answer, ReplyError) and answer.word == "READONLY":
            # It is a replica now: whoever is primary is connected to.
            self._keep(batch)
            if wire is self._wire:
                self._wire = None
                self._leaving = asyncio.create_task(wire.close())
        elif isinstance(answer, ReplyError):
            logger.warning("the broker refuses wake-ups: %s", answer)
            self._drop(len(batch))
            return
        else:
            self._keep(batch)
        if self._names and not self._closed:
            self._schedule(asyncio.get_running_loop())

    def _keep(self, batch: Sequence[str]) -> None:
        """Back to the front, as they are the oldest."""
        self._names = dict.fromkeys([*batch, *self._names])
        self._trim()

    async def _connected(self) -> None:
        """Wait for one attempt to connect, if there is need for any."""
        if self._wire is not None and not self._wire.closed:
            return
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        await asyncio.wait([self._connecting], timeout=self._options.timeout)

    async def _connect(self) -> None:
        delay, longest = _BACKOFF
        told = False
        while True:
            try:
                self._place, self._wire = await primary.connect(
                    self._servers, timeout=self._options.timeout
                )
                break
            except (StoreUnavailable, ReplyError) as error:
                level = logging.DEBUG if told else logging.WARNING
                logger.log(level, "no wake-ups, the broker cannot be reached: %s", error)
                told = True
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311
            delay = min(delay * 2, longest)
        self._connecting = None
        if self._watching is None and not isinstance(self._servers, Address):
            self._watching = asyncio.create_task(primary.watch(self._servers, self._moved))
        self._flush()

    def _moved(self, address: Address) -> None:
        """Where the broker is: if it is elsewhere, wake-ups go there."""
        if address != self._place and self._wire is not None:
            self._wire.abort(f"{self._place}: is the primary no longer")
