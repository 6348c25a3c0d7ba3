"""What Celery starts and stops with a worker: the engine with its pump, and the watchdog."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery, bootsteps
from celery.exceptions import ImproperlyConfigured
from celery.utils.imports import symbol_by_name
from celery.utils.log import get_logger
from celery.worker import state
from kombu import Connection

from relay import heap
from relay.errors import ConfigError, StoreUnavailable
from workers import runtime
from workers.contract import Progress, Stop, WorkerInfo
from workers.runtime import Runtime
from workers.watchdog import Watch, Watchdog

logger = get_logger(__name__)

#: Exit codes, the same as those of every command (docs/cli.md): the settings are wrong; the store
#: gave no answer.
_USAGE, _UNAVAILABLE = 2, 3
#: How often a waiting stop looks, in seconds.
_LOOK = 0.05


class EngineStep(bootsteps.StartStopStep):
    """Starts the engine on the pool's loop before anything is consumed, and stops it after."""

    label = "Engine"
    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **_: Any) -> None:
        worker.runtime = None

    def start(self, worker: Any) -> None:
        conf, pool = worker.app.conf, worker.pool
        if not hasattr(pool, "keep_loop"):
            raise ImproperlyConfigured("Relay's tasks need its own pool: leave -P away")
        worker.runtime = Runtime(
            pool.loop, symbol_by_name(conf.relay_engine), pump_interval=conf.relay_pump_interval
        )
        runtime.install(worker.runtime)
        pool.keep_loop = True
        info = WorkerInfo(
            hostname=worker.hostname,
            pid=os.getpid(),
            concurrency=worker.max_concurrency or pool.limit,
            queues=tuple(worker.app.amqp.queues.consume_from),
        )
        try:
            worker.runtime.start(info, conf.relay_start_timeout)
        except BaseException as error:
            pool.keep_loop = False
            pool.on_terminate()
            raise _told(error) from error
        heap.settle()
        worker.wait_for_soft_shutdown = lambda: _soften(worker)

    def stop(self, worker: Any) -> None:
        self._end(worker, Stop.WARM, worker.app.conf.relay_grace)

    def terminate(self, worker: Any) -> None:
        soft = worker.app.conf.worker_soft_shutdown_timeout
        if soft > 0:
            self._end(worker, Stop.SOFT, soft)
        else:
            self._end(worker, Stop.COLD, worker.app.conf.relay_cold_grace)

    def info(self, worker: Any) -> Any:
        """For `inspect stats`."""
        progress = worker.runtime.engine.progress()
        return {"relay": {"done": progress.done, "waiting": progress.waiting}}

    def _end(self, worker: Any, mode: Stop, grace: float) -> None:
        engine, pool = worker.runtime, worker.pool
        deadline = time.monotonic() + grace + 2
        if not engine.stopping:
            engine.begin_stop(mode, grace)
        while not engine.stopped() and time.monotonic() < deadline:
            if state.should_terminate and mode is Stop.WARM:
                # SIGQUIT while a SIGTERM is obeyed: no more time.
                mode, grace = Stop.COLD, worker.app.conf.relay_cold_grace
                deadline = time.monotonic() + grace + 2
                engine.begin_stop(mode, grace)
            pool.flush_results()
            worker.hub.fire_timers()
            time.sleep(_LOOK)
        pool.keep_loop = False


def _told(error: BaseException) -> BaseException:
    """What the operator can mend is told in a line each, and ends the worker with its exit code."""
    if isinstance(error, ConfigError):
        for problem in error.problems:
            logger.critical("%s", problem)
        return SystemExit(_USAGE)
    if isinstance(error, StoreUnavailable):
        logger.critical("store.url: the store cannot be reached: %s", error)
        return SystemExit(_UNAVAILABLE)
    return error


def _soften(worker: Any) -> None:
    """In place of Celery's sleep in the signal's handler: begin now, and wait for tasks only."""
    grace = worker.app.conf.worker_soft_shutdown_timeout
    if grace > 0 and not worker.runtime.stopping:
        worker.runtime.begin_stop(Stop.SOFT, grace)
        worker.pool.settle(time.monotonic() + grace)


class WatchdogStep(bootsteps.StartStopStep):
    """Starts the watchdog once the engine runs; it is off while the worker stops."""

    label = "Watchdog"
    requires = (EngineStep,)

    def __init__(self, worker: Any, **_: Any) -> None:
        self._watchdog: Watchdog | None = None

    def include_if(self, worker: Any) -> bool:
        """A patience of 0 turns it off."""
        return bool(worker.app.conf.relay_watchdog_patience > 0)

    def start(self, worker: Any) -> None:
        patience = worker.app.conf.relay_watchdog_patience
        watches = [
            Watch("the engine", worker.runtime.engine.progress, patience),
            Watch("the broker", _BrokerView(worker.app), patience),
        ]
        self._watchdog = Watchdog(watches, interval=max(0.1, min(5.0, patience / 4)))
        self._watchdog.start()

    def close(self, worker: Any) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()


class _BrokerView:
    """How many tasks lie in the broker's queues that this worker consumes, and how many it took.

    It asks on a connection of its own: the worker's may be the very thing that hangs.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None

    def __call__(self) -> Progress:
        taken = state.all_total_count[0]
        try:
            if self._connection is None:
                self._connection = self._app.connection_for_read()
            channel: Any = self._connection.default_channel
            waiting = sum(channel._size(queue) for queue in self._app.amqp.queues.consume_from)  # noqa: SLF001
        except Exception:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.release()
            raise
        return Progress(done=taken, waiting=waiting)
