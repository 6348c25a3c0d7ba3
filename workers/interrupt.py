"""Throwing an exception of choice into a coroutine at the await where it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class Interruptible:
    """An awaited coroutine in which a cancellation can arrive as another exception.

    asyncio knows one way to interrupt a task, which is to cancel it. `interrupt` does that, and the
    coroutine sees `exception` in place of CancelledError.
    """

    __slots__ = ("_coroutine", "_instead")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._instead: BaseException | None = None

    def interrupt(self, task: asyncio.Task[Any], exception: BaseException) -> None:
        """Let the coroutine, which `task` is in, see `exception`."""
        self._instead = exception
        task.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine = self._coroutine
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                wanted = coroutine.send(value) if error is None else coroutine.throw(error)
            except StopIteration as end:
                return end.value
            value = error = None
            try:
                value = yield wanted
            except BaseException as thrown:  # noqa: BLE001 -- handed on to the coroutine
                error = self._replaced(thrown)

    def _replaced(self, thrown: BaseException) -> BaseException:
        instead, self._instead = self._instead, None
        if instead is None or not isinstance(thrown, asyncio.CancelledError):
            return thrown
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        return instead
