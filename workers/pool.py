"""Celery's pool for `async def` tasks: one event loop in a side thread runs them by the hundred.

Celery's own thread (the hub) goes on talking to the broker. It hands a job over by appending to a
deque and waking the loop; results come back through another and `hub.call_soon`, so that only the
hub's thread touches the broker's channel. All that counts slots runs there too, without locks.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import signals
from celery.concurrency.base import BasePool
from celery.exceptions import ImproperlyConfigured
from celery.utils.log import get_logger
from kombu.asynchronous import get_event_loop
from kombu.serialization import prepare_accept_content

from workers import context
from workers.job import Job, is_async
from workers.loop import LoopThread
from workers.trace import Traced

logger = get_logger(__name__)

#: Threads for sync tasks at most.
_MOST_THREADS = 32
#: How long a stopping pool waits for cancelled tasks to end, in seconds.
_CANCEL_TIME = 5.0

_REFUSED = {
    "maxtasksperchild": "worker_max_tasks_per_child (--max-tasks-per-child)",
    "max_memory_per_child": "worker_max_memory_per_child (--max-memory-per-child)",
}


class AsyncioPool(BasePool):
    """`worker_pool = "workers.pool:AsyncioPool"`, or `-P` with the same."""

    body_can_be_buffer = True
    signal_safe = False
    task_join_will_block = False
    _state: int | None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for option, name in _REFUSED.items():
            if options.get(option):
                raise ImproperlyConfigured(
                    f"{name} has no meaning here: tasks run in one process, which has no children. "
                    "Limit the process instead (MemoryMax in systemd, a container's memory limit)."
                )
        self.limit = max(1, self.limit or 1)
        self._running: set[Job] = set()
        self._waiting: deque[Job] = deque()
        self._inbox: deque[Job] = deque()
        self._outbox: deque[tuple[Callable[..., Any] | None, tuple[Any, ...], Job | None]] = deque()
        self._inbox_told = self._outbox_told = False
        #: Whoever needs the loop longer than the tasks do (the engine) sets this.
        self.keep_loop = False

    def on_start(self) -> None:
        self.accept = prepare_accept_content(self.app.conf.accept_content)
        self.async_names = {name for name, task in self.app.tasks.items() if is_async(task)}
        self.threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="relay-task")
        context.isolate(self.app)
        self.hub: Any = get_event_loop()
        self.hostname = (self.options.get("initargs") or (None, None))[1]
        signals.worker_process_init.send(sender=self.hostname)
        self.loop = LoopThread()
        self.loop.start()

    def register_with_event_loop(self, loop: Any) -> None:
        """Results go to this hub from now on."""
        self.hub = loop

    # On the hub's thread.

    def on_apply(  # type: ignore[override]
        self,
        target: Callable[..., Traced],
        args: Any = (),
        kwargs: Any = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        timeout_callback: Callable[..., Any] | None = None,
        soft_timeout: float | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> Job:
        limits = (
            soft_timeout or self.options.get("soft_timeout"),
            timeout or self.options.get("timeout"),
        )
        job = Job(self, target, tuple(args), (callback, accept_callback, timeout_callback), limits)
        self._waiting.append(job)
        self._admit()
        return job

    def _admit(self) -> None:
        """Start what waits while there are slots."""
        while self._waiting and len(self._running) < self.limit and self._state == self.RUN:
            job = self._waiting.popleft()
            self._running.add(job)
            if job.on_accepted is not None:
                job.on_accepted(os.getpid(), time.monotonic())
            self._inbox.append(job)
            if not self._inbox_told:
                self._inbox_told = True
                self.on_loop(self._spawn)

    def flush_results(self) -> None:
        """Tell Celery what has ended since; on the hub's thread only."""
        self._outbox_told = False
        while self._outbox:
            callback, arguments, job = self._outbox.popleft()
            if job is not None:
                self._running.discard(job)
            if callback is not None:
                self._tell(callback, arguments)
        self._admit()

    def _tell(self, callback: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            callback(*arguments)
        except Exception:
            logger.exception("a task's end could not be told to Celery")

    def grow(self, n: int = 1) -> None:
        """More tasks at once; Celery's autoscaler and `control pool_grow` call this."""
        self.limit += n
        self._admit()

    def shrink(self, n: int = 1) -> None:
        """Fewer at once, one at least; those that run go on to their end."""
        self.limit = max(1, self.limit - n)

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """Nothing to do: there is no process a task; `Job.terminate` cancels it."""

    @property
    def busy(self) -> int:
        """How many tasks hold a slot."""
        return len(self._running)

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()  # type: ignore[misc]
        return info | {
            "processes": [os.getpid()],
            "running": len(self._running),
            "waiting": len(self._waiting),
            "timeouts": [self.options.get("soft_timeout") or 0, self.options.get("timeout") or 0],
            "max-tasks-per-child": "N/A",
        }

    # On the loop's thread.

    def _spawn(self) -> None:
        self._inbox_told = False
        while self._inbox:
            self._inbox.popleft().begin(self.loop.loop)

    def finished(self, job: Job, answer: Traced | None) -> None:
        """The job has ended; `answer` is None where Celery has told its end already."""
        callback = None if answer is None else job.on_done
        self._post(callback, (answer,), job)

    # From any thread.

    def on_loop(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function on the loop's thread."""
        self.loop.loop.call_soon_threadsafe(function, *arguments)

    def on_hub(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function on the hub's thread."""
        self._post(function, arguments, None)

    def _post(
        self, function: Callable[..., Any] | None, arguments: tuple[Any, ...], job: Job | None
    ) -> None:
        self._outbox.append((function, arguments, job))
        if not self._outbox_told:
            self._outbox_told = True
            self.hub.call_soon(self.flush_results)

    # Ending.

    def on_close(self) -> None:
        """What waits for a slot is not acknowledged, so the broker has it back at the end."""
        self._waiting.clear()

    def on_stop(self) -> None:
        """Let the running tasks end, and cancel those that do not."""
        self.settle(time.monotonic() + _CANCEL_TIME)
        for job in tuple(self._running):
            job.terminate()
        self.settle(time.monotonic() + _CANCEL_TIME)
        self._end_loop()

    def on_terminate(self) -> None:
        for job in tuple(self._running):
            job.terminate()
        self.settle(time.monotonic() + _CANCEL_TIME)
        self._end_loop()

    def settle(self, deadline: float) -> None:
        """Wait until no task runs, or until `deadline` (monotonic), telling results meanwhile."""
        while self._running and self.loop.alive and time.monotonic() < deadline:
            self.flush_results()
            time.sleep(0.01)
        self.flush_results()

    def _end_loop(self) -> None:
        if self.keep_loop or not self.loop.alive:
            return
        self.loop.stop()
        self.threads.shutdown(wait=False, cancel_futures=True)
        signals.worker_process_shutdown.send(sender=self.hostname, pid=os.getpid(), exitcode=0)
