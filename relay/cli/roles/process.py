"""The frame of a role's process: its event loop, and the signals that tell it to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop

#: A role: does its work until the event is set, then ends in order; the exit code.
Work = Callable[[asyncio.Event], Awaitable[int]]


def run(work: Work) -> int:
    """Run the role until SIGTERM or SIGINT; a second signal ends the process at once."""
    return uvloop.run(_until_told(work))


async def _until_told(work: Work) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    return await work(stop)
