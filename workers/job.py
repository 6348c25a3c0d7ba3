"""One task on its way through the pool: handed over by Celery, run on the loop, told back."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo
from celery.exceptions import SoftTimeLimitExceeded

from workers import context
from workers.interrupt import Interruptible
from workers.trace import Traced, trace

if TYPE_CHECKING:
    from workers.pool import AsyncioPool

#: A coroutine that swallows its cancellation is cancelled again this often, in seconds.
_INSIST = 1.0


def is_async(task: Any) -> bool:
    """The task's function is a coroutine function, also where an integration has wrapped it."""
    return inspect.iscoroutinefunction(inspect.unwrap(task.run))


class Job:
    """What Celery knows a running task by. The pool keeps it alive: Celery has only a weak one.

    Made, accepted and told back on Celery's thread; everything between happens on the loop's.
    """

    __slots__ = (
        "__weakref__",
        "_calls",
        "_guard",
        "_task",
        "arguments",
        "called_off",
        "limits",
        "on_accepted",
        "on_done",
        "on_timeout",
        "pool",
        "target",
    )

    def __init__(
        self,
        pool: AsyncioPool,
        target: Callable[..., Traced],
        arguments: tuple[Any, ...],
        callbacks: tuple[Callable[..., Any] | None, ...],
        limits: tuple[float | None, float | None],
    ) -> None:
        self.pool = pool
        self.target = target
        self.arguments = arguments
        self.on_done, self.on_accepted, self.on_timeout = callbacks
        #: Soft and hard time limit, in seconds.
        self.limits = limits
        #: Told to end: revoked, cancelled by a shutdown or past its hard limit.
        self.called_off = False
        self._task: asyncio.Task[None] | None = None
        self._guard: Interruptible | None = None
        self._calls: list[asyncio.TimerHandle] = []

    def terminate(self, signal: Any = None) -> None:
        """Celery's way to end it: cancel the coroutine. There is no process to send a signal to."""
        self.called_off = True
        self.pool.on_loop(self._cancel)

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start running, on the loop."""
        if self.called_off:
            self.pool.finished(self, None)
            return
        self._task = loop.create_task(self._run())
        soft, hard = self.limits
        if soft:
            self._calls.append(loop.call_later(soft, self._soften, soft))
        if hard:
            self._calls.append(loop.call_later(hard, self._harden, hard))

    async def _run(self) -> None:
        context.enter(id(self))
        answer: Traced | None = None
        try:
            answer = await self._traced()
        except BaseException:  # noqa: BLE001 -- nothing that a task does may end the pool's loop
            answer = 1, ExceptionInfo(), 0.0
        finally:
            for call in self._calls:
                call.cancel()
            self.pool.finished(self, None if self.called_off else answer)

    async def _traced(self) -> Traced:
        name, _, fields, body, content_type, encoding = self.arguments
        task = self.pool.app.tasks[name]
        if name in self.pool.async_names:
            message = (body, content_type, encoding)
            return await trace(task, fields, message, self.pool.accept, self._guarded)
        # A sync task runs in a thread, under Celery's own tracer; its thread cannot be interrupted.
        run = copy_context().run
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self.pool.threads, run, self.target, *self.arguments)
        return await asyncio.shield(running)

    async def _guarded(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if not self.limits[0]:
            return await coroutine
        self._guard = Interruptible(coroutine)
        return await self._guard

    def _soften(self, limit: float) -> None:
        self._tell_timeout(True, limit)
        if self._guard is not None and self._task is not None:
            self._guard.interrupt(self._task, SoftTimeLimitExceeded(limit))

    def _harden(self, limit: float) -> None:
        self.called_off = True
        self._tell_timeout(False, limit)
        self._cancel()

    def _tell_timeout(self, soft: bool, limit: float) -> None:
        if self.on_timeout is not None:
            self.pool.on_hub(self.on_timeout, soft, limit)

    def _cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._calls.append(self._task.get_loop().call_later(_INSIST, self._cancel))
