"""All children of `relay up`: started in stages, kept running, stopped in the reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from relay.cli.up.keeper import Keeper

#: Seconds between two looks at the size of the logs.
_ROTATION = 10.0


class Supervisor:
    """Stages of children. One stage is stopped as a whole before the one before it."""

    def __init__(self) -> None:
        self._stages: list[list[Keeper]] = []
        self._tasks: list[asyncio.Task[None]] = []
        #: Set one after the other when the operator asks again: stop sooner, stop now.
        self.haste = (asyncio.Event(), asyncio.Event())

    async def start(self, *stages: Iterable[Keeper]) -> None:
        """Start all children of the stages at once, and return when every one is ready."""
        added = [list(stage) for stage in stages]
        self._stages += added
        keepers = [keeper for stage in added for keeper in stage]
        self._tasks += [asyncio.create_task(keeper.run()) for keeper in keepers]
        await asyncio.gather(*(keeper.ready.wait() for keeper in keepers))

    async def watch(self) -> None:
        """Runs until a child cannot be kept running, then raises its GaveUp."""
        while True:
            for task in self._tasks:
                if task.done():
                    task.result()
            if self._tasks:
                await asyncio.wait(
                    self._tasks, timeout=_ROTATION, return_when=asyncio.FIRST_COMPLETED
                )
            for stage in self._stages:
                for keeper in stage:
                    keeper.child.rotate()

    async def stop(self) -> None:
        """Stop every child: what takes messages in first, the store last."""
        for stage in reversed(self._stages):
            await asyncio.gather(*(keeper.stop(self.haste) for keeper in stage))
        await asyncio.gather(*self._tasks, return_exceptions=True)
