"""Postfix's smtp-sink as a process: a host of somebody else's making."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from types import TracebackType
from typing import Self

import pytest

from tests.support.ports import free_port


class Sink:
    """smtp-sink on a loopback port; `options` as on its command line, such as `-r`, `RCPT`."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.port = free_port()

    def __enter__(self) -> Self:
        program = shutil.which("smtp-sink", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            if os.environ.get("CI"):
                pytest.fail("smtp-sink is missing (apt-get install postfix)")
            pytest.skip("smtp-sink is missing (apt-get install postfix)")
        self.process = subprocess.Popen(
            [program, *self._user(), *self.options, f"127.0.0.1:{self.port}", "256"],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, "smtp-sink does not start"
            time.sleep(0.01)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    def _user(self) -> tuple[str, ...]:
        return ("-u", "nobody") if os.geteuid() == 0 else ()

    def _answers(self) -> bool:
        assert self.process.poll() is None, "smtp-sink does not start"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True
