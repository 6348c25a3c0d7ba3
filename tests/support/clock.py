"""A store whose clock stands still until it is told another time."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.valkey import ValkeyServer

_LIBRARY = "libfaketime.so.1"
_PLACES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime")


class ClockedServer(ValkeyServer):
    """Nothing is kept on disk; `now_ms` is what TIME says, in whole seconds."""

    def __init__(self, binary: str = "") -> None:
        super().__init__(binary, appendonly="no")
        self._clock = self.directory / "clock"
        self.process = None
        self.set_clock(1_800_000_000_000)
        self.binary = str(self._wrapper(self.binary))

    def set_clock(self, now_ms: int) -> None:
        """Another time, forwards or backwards."""
        self.now_ms = now_ms
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now_ms // 1000))
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(text + "\n")
        fresh.replace(self._clock)
        while self.process is not None and self._time_of_scripts() != now_ms // 1000:
            pass

    def _time_of_scripts(self) -> int:
        """The server may look at its clock a turn of its loop before it runs a script."""
        return int(self.command("EVAL", "return redis.call('TIME')[1]", 0))

    def _wrapper(self, binary: str) -> Path:
        return wrapper(self.directory / "run", binary, faked(self._clock))


class JumpingServer(ValkeyServer):
    """A server whose clock goes on, `jump` seconds away from the true one."""

    def __init__(self, **options: str) -> None:
        super().__init__(**options)
        self._clock = self.directory / "clock"
        self.jump(0)
        self.binary = str(wrapper(self.directory / "run", self.binary, faked(self._clock)))

    def jump(self, seconds: int) -> None:
        """Another distance, forwards or backwards."""
        set_ahead(self._clock, seconds)


def set_ahead(clock: Path, seconds: int) -> None:
    """Have processes that look at this clock be so far ahead of the true time."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{seconds:+d}\n")
    fresh.replace(clock)


def faked(clock: Path) -> dict[str, str]:
    """The variables of a process whose time of day a file says. Skips where libfaketime is not
    there."""
    return {
        "TZ": "UTC",
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        # Event loops need a clock that goes on.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "LD_PRELOAD": _library(),
    }


def wrapper(path: Path, binary: str, variables: Mapping[str, str]) -> Path:
    """A program that runs another one with these variables."""
    lines = [f"export {name}='{value}'" for name, value in variables.items()]
    path.write_text("\n".join(["#!/bin/sh", *lines, f'exec {binary} "$@"']) + "\n")
    path.chmod(0o755)
    return path


def _library() -> str:
    for place in _PLACES:
        if (found := Path(place) / _LIBRARY).exists():
            return str(found)
    if os.environ.get("CI"):
        pytest.fail("libfaketime is missing (apt-get install libfaketime)")
    pytest.skip("libfaketime is missing (apt-get install libfaketime)")
