"""One child process of `relay up`: it dies with its parent, and is stopped in steps."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

#: prctl(2): send this signal when the parent is gone.
_PR_SET_PDEATHSIG = 1
#: Octets of a log file before it is moved aside, so that two of them are kept at most.
_LOG_SIZE = 16 << 20
#: Seconds from being asked to end at once until it is killed.
_HURRY = 5.0
#: What is shown of the log of a child that ended unasked.
_TAIL = 4096


class Program(Struct, frozen=True):
    """What to run, and how it is told to stop."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    #: Seconds from SIGTERM until it is killed.
    grace: float
    #: Sent when the operator is in a hurry.
    hurry_signal: int = signal.SIGTERM


class Child:
    """A running program. Its output goes to a file of its own."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return self._process.pid if self.alive and self._process else None

    @property
    def alive(self) -> bool:
        """It was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it. On Linux it is killed when this process dies, however it dies."""
        self.rotate()
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.argv,
                env=self.program.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                start_new_session=True,
                preexec_fn=_dying_with_parent(),
            )
        finally:
            os.close(handle)

    async def ended(self) -> int:
        """Wait for the end; the exit code, or minus the signal that ended it."""
        if self._process is None:
            return 0
        return await self._process.wait()

    def tell(self, number: int) -> None:
        """Send a signal, where it still runs."""
        if self.alive and self._process:
            self._process.send_signal(number)

    async def stop(self, haste: Sequence[asyncio.Event]) -> None:
        """Ask it to end and wait out its grace, or the first of `haste`; then ask it to end at
        once and wait a moment, or for the second; then kill it.
        """
        self.tell(signal.SIGTERM)
        await self._wait(self.program.grace, haste[0])
        if self.alive:
            self.tell(self.program.hurry_signal)
            await self._wait(_HURRY, haste[1])
        self.tell(signal.SIGKILL)
        await self.ended()

    def rotate(self) -> None:
        """Move a log that has grown aside, in place: the child keeps writing to the same file."""
        if self.log.exists() and self.log.stat().st_size > _LOG_SIZE:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)

    def tail(self) -> str:
        """The end of its log, whole lines."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL))
            return file.read().decode("utf-8", "replace").strip()

    async def _wait(self, seconds: float, haste: asyncio.Event) -> None:
        waits = [asyncio.create_task(self.ended()), asyncio.create_task(haste.wait())]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _dying_with_parent() -> Callable[[], None] | None:
    """What a child does before its program: ask to be killed when the parent is gone."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we could ask
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def environment(base: Mapping[str, str], *more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: this process's own, then what is handed down."""
    whole = dict(base)
    for variables in more:
        whole.update(variables)
    return whole


def command(*arguments: str) -> Sequence[str]:
    """The command line that runs `relay` with the arguments, whatever this one was started as."""
    return (sys.executable, "-m", "relay.cli", *arguments)
