"""Keeps one child running: started again when it ends unasked, given up when that does not help."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence

from relay.cli import exits
from relay.cli.up.child import Child
from relay.cli.up.report import Report

#: Seconds before a child that ended is started again: the first time, and at most.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 30.0
#: A child that ran this long before it ended starts with the first wait again.
_SETTLED = 60.0
#: Ends in a row without having been ready, after which it is given up.
_MOST_FAILURES = 5
#: Seconds between two questions whether it is ready.
_POLL = 0.03

Ready = Callable[[], Awaitable[bool]]


class GaveUp(Exception):
    """A child cannot be kept running; `code` is what `relay up` ends with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Keeper:
    """One child, its state and its restarts."""

    def __init__(self, child: Child, ready: Ready, patience: float, report: Report) -> None:
        self.child = child
        #: Set once it was ready for the first time.
        self.ready = asyncio.Event()
        self._ask = ready
        #: Seconds it has to become ready; then it is killed and started again.
        self._patience = patience
        self._report = report
        self._stopping = asyncio.Event()
        self._wait = _FIRST_WAIT
        self._failures = 0

    async def run(self) -> None:
        """Until `stop` is called. Raises GaveUp where restarting does not help."""
        while not self._stopping.is_set():
            began = time.monotonic()
            await self.child.start()
            if self._stopping.is_set():
                self.child.tell(signal.SIGKILL)
            was_ready = await self._until_ready(began)
            code = await self.child.ended()
            if self._stopping.is_set():
                return
            self._judge(code, was_ready)
            await self._pause(time.monotonic() - began)

    async def stop(self, haste: Sequence[asyncio.Event]) -> None:
        """End the child for good."""
        self._stopping.set()
        if self.child.alive:
            began = time.monotonic()
            await self.child.stop(haste)
            self._report.line(self._name, "stopped", f"in {time.monotonic() - began:.1f} s")

    @property
    def _name(self) -> str:
        return self.child.program.name

    async def _until_ready(self, began: float) -> bool:
        while self.child.alive and not self._stopping.is_set():
            if await self._ask():
                self._report.line(self._name, "ready", f"in {time.monotonic() - began:.1f} s")
                self._failures = 0
                self.ready.set()
                return True
            if time.monotonic() - began > self._patience:
                self.child.tell(signal.SIGKILL)
            await asyncio.sleep(_POLL)
        return False

    def _judge(self, code: int, was_ready: bool) -> None:
        how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        self._report.line(self._name, "ended", f"{how}; its log is {self.child.log}")
        self._failures += not was_ready
        if code == exits.USAGE or self._failures >= _MOST_FAILURES:
            self._report.quote(self.child.tail())
            final = code if code in (exits.USAGE, exits.UNAVAILABLE) else exits.FAILED
            raise GaveUp(final, f"{self._name} cannot be kept running")

    async def _pause(self, ran: float) -> None:
        """Wait before the next start: longer each time, unless it had run well."""
        self._wait = _FIRST_WAIT if ran > _SETTLED else min(self._wait * 2, _LONGEST_WAIT)
        self._report.line(self._name, "starts", f"again in {self._wait:.1f} s")
        try:
            await asyncio.wait_for(self._stopping.wait(), self._wait)
        except TimeoutError:
            return
