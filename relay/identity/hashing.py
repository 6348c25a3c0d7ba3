"""Checking passwords off the loop: few at once, and few waiting, however many are tried.

A check takes 20 ms of one core and 19 MiB, so whoever can have it done can keep a machine busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

_T = TypeVar("_T")


class TooBusy(Exception):
    """Too many are waiting already; nothing was checked."""


class Hashing:
    """`threads` work; who comes while they are busy and `waiting` more wait is turned away."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._free = asyncio.Semaphore(threads)
        self._most = threads + waiting
        self._here = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a thread, and have it to oneself. Raises TooBusy at once."""
        if self._here >= self._most:
            raise TooBusy
        self._here += 1
        try:
            async with self._free:
                yield
        finally:
            self._here -= 1

    async def run(self, work: Callable[[], _T]) -> _T:
        """The result of the work, done by a thread; only within a turn."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Begin no more work; what is under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
