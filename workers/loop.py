"""The process's one event loop, in a thread of its own: made at start, never at import or fork."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class LoopThread:
    """A uvloop loop that runs in a side thread, while Celery's thread talks to the broker."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="relay-loop", daemon=True)

    def start(self) -> None:
        """Run the loop; returns once it turns."""
        turning = threading.Event()
        self.loop.call_soon(turning.set)
        self._thread.start()
        turning.wait()

    @property
    def alive(self) -> bool:
        """The loop's thread has not ended."""
        return self._thread.is_alive()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine there, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, function: Callable[[], T], timeout: float) -> T:
        """Call a function there and wait for its answer. Raises TimeoutError."""

        async def run() -> T:
            return function()

        return self.submit(run()).result(timeout)

    def stop(self, timeout: float = 5.0) -> None:
        """End what still runs there, close the loop and join its thread."""
        if not self._thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._cancel_all())
        finally:
            self.loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 2)
