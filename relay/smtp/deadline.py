"""A deadline that is moved often and passes seldom."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """One timer for all phases of a session: made anew only where the deadline comes nearer.

    A reply moves the deadline by storing a number; a timer of its own for each would cost more than
    all else that is done about the reply.
    """

    __slots__ = ("_at", "_loop", "_passed", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._at = self._timer_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def move(self, at: float) -> None:
        """Let the deadline be at `at`, in the loop's time."""
        self._at = at
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._fire)

    def drop(self) -> None:
        """There is no deadline any more."""
        self._at = math.inf
        if self._timer is not None:
            self._timer.cancel()

    def _fire(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        # A loop's clock may be as coarse as a millisecond.
        if self._at - self._loop.time() > 0.001:
            self.move(self._at)
        else:
            self._passed()
