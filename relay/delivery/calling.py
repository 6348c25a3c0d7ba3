"""Calling others: a queue that keeps this process busy is rung again, so that others help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from relay.delivery.path import Queue
from relay.store.keys import reference

#: Seconds between two rings for a queue.
_AGAIN = 0.25


class Calling:
    """Rings each queue a few times a second at most."""

    def __init__(self, ring: Callable[[Sequence[str]], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._rung: dict[Queue, float] = {}

    def call(self, queue: Queue) -> None:
        """More waits in the queue than this process has in hand: another worker may help."""
        moment = self._loop.time()
        if moment - self._rung.get(queue, 0.0) > _AGAIN:
            self._rung[queue] = moment
            self._ring([reference(*queue)])

    def forget(self) -> None:
        """Forget rings of long ago."""
        horizon = self._loop.time() - _AGAIN
        self._rung = {queue: at for queue, at in self._rung.items() if at > horizon}
