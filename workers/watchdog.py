"""The watchdog: ends a worker that has work waiting and makes no progress.

Celery's consumer can come to hang for good after a broker restart, and a loop can be blocked by a
bug. Neither says so. Work is safe in the store under leases, so the remedy is to end the process
and let whoever supervises it start another.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from relay import log
from workers.contract import Progress

logger = logging.getLogger(__name__)

#: EX_SOFTWARE of sysexits(3), so that a supervisor's log tells this end from others.
EXIT_CODE = 70


class Watch:
    """One thing watched: stuck when it has waiting work and `done` stood still for `patience` s."""

    def __init__(self, name: str, look: Callable[[], Progress], patience: float) -> None:
        self.name = name
        self._look = look
        self._patience = patience
        self._done: int | None = None
        self._since = 0.0
        self.waiting = 0

    def stuck_for(self, now: float) -> float:
        """Look, at `now` (monotonic seconds): how long it is stuck, 0 while it is not."""
        progress = self._look()
        self.waiting = progress.waiting
        if progress.done != self._done or progress.waiting <= 0:
            self._done, self._since = progress.done, now
        stuck = now - self._since
        return stuck if stuck >= self._patience else 0.0


class Watchdog:
    """A thread of its own, as neither the hub nor the loop can be trusted to turn."""

    def __init__(self, watches: Sequence[Watch], interval: float) -> None:
        self._watches = watches
        self._interval = interval
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay-watchdog", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more: a worker that ends makes no progress either."""
        self._end.set()

    def _run(self) -> None:
        while not self._end.wait(self._interval):
            for watch in self._watches:
                self._check(watch)

    def _check(self, watch: Watch) -> None:
        try:
            stuck = watch.stuck_for(time.monotonic())
        except Exception as error:  # noqa: BLE001 -- what cannot be asked is not known to wait
            logger.warning("the watchdog cannot ask %s: %s", watch.name, error)
            return
        if stuck and not self._end.is_set():
            logger.critical(
                "%s: %d waiting and no progress for %.0f s; this worker ends itself (exit code %d)",
                watch.name,
                watch.waiting,
                stuck,
                EXIT_CODE,
            )
            log.flush()
            os._exit(EXIT_CODE)
