"""The engine in this process: its life on the pool's loop, and the pump that keeps it rung."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import random
import time
from collections.abc import Callable

from workers.contract import Engine, Stop, WorkerInfo
from workers.loop import LoopThread

logger = logging.getLogger(__name__)


class Runtime:
    """One engine from its start to its stop. Its methods belong to Celery's thread."""

    def __init__(
        self, loop: LoopThread, factory: Callable[[], Engine], *, pump_interval: float
    ) -> None:
        self.loop = loop
        self._factory = factory
        #: Seconds between two calls of the engine's pump, give or take a fifth.
        self._pump_interval = pump_interval
        self._engine: Engine | None = None
        self._pump: asyncio.Task[None] | None = None
        self._stopping: list[concurrent.futures.Future[None]] = []

    @property
    def engine(self) -> Engine:
        """The engine. Raises RuntimeError before it has started."""
        if self._engine is None:
            raise RuntimeError("the engine has not started")
        return self._engine

    def start(self, worker: WorkerInfo, timeout: float) -> None:
        """Make the engine on the loop and start it. Raises what its start raises."""
        self.loop.submit(self._start(worker)).result(timeout)

    def begin_stop(self, mode: Stop, grace: float) -> None:
        """Tell the engine to end; does not wait, and may be said again with less time."""
        self._stopping.append(self.loop.submit(self._stop(mode, grace)))

    @property
    def stopping(self) -> bool:
        """`begin_stop` has been called."""
        return bool(self._stopping)

    def stopped(self) -> bool:
        """The engine has ended: one of its stops has returned or failed."""
        return any(stop.done() for stop in self._stopping)

    async def _start(self, worker: WorkerInfo) -> None:
        engine = self._factory()
        await engine.start(worker)
        self._engine = engine
        self._pump = asyncio.create_task(self._pump_on(engine))

    async def _stop(self, mode: Stop, grace: float) -> None:
        if self._pump is not None:
            self._pump.cancel()
        started = time.monotonic()
        try:
            await asyncio.wait_for(self.engine.stop(mode, grace), grace + 1)
        except TimeoutError:
            logger.error("the engine did not end within its %.0f s (%s)", grace, mode)
        except Exception:
            logger.exception("the engine's stop failed (%s)", mode)
        else:
            logger.info("the engine has ended after %.1f s (%s)", time.monotonic() - started, mode)

    async def _pump_on(self, engine: Engine) -> None:
        while True:
            # Every worker pumps, so they must not do it in step.
            await asyncio.sleep(self._pump_interval * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                await engine.pump()
            except Exception:
                logger.exception("the pump failed; it is called again")


_current: Runtime | None = None


def install(runtime: Runtime | None) -> None:
    """Make this the runtime that tasks and commands of this process find."""
    global _current
    _current = runtime


def current() -> Runtime:
    """This process's runtime. Raises RuntimeError outside a worker."""
    if _current is None:
        raise RuntimeError("this process is no worker")
    return _current


def engine() -> Engine:
    """This process's engine. Raises RuntimeError outside a worker."""
    return current().engine
