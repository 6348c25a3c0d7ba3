"""A store whose clock stands still until it is told another time."""

from __future__ import annotations

import os
import time
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
        wrapper = self.directory / "run"
        settings = {
            "TZ": "UTC",
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            # Event loops need a clock that goes on.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "LD_PRELOAD": _library(),
        }
        lines = [f"export {name}='{value}'" for name, value in settings.items()]
        wrapper.write_text("\n".join(["#!/bin/sh", *lines, f'exec {binary} "$@"']) + "\n")
        wrapper.chmod(0o755)
        return wrapper


def _library() -> str:
    for place in _PLACES:
        if (found := Path(place) / _LIBRARY).exists():
            return str(found)
    if os.environ.get("CI"):
        pytest.fail("libfaketime is missing (apt-get install libfaketime)")
    pytest.skip("libfaketime is missing (apt-get install libfaketime)")
