"""A store whose append-only file lies on a small disk of its own, which can be filled."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.clock import wrapper
from tests.support.valkey import STORE_OPTIONS, ValkeyServer

_BLOCK = b"\0" * (1 << 16)


class SmallDisk(ValkeyServer):
    """The disk is a tmpfs in a mount namespace, which a process keeps while the server is away."""

    def __init__(self, megabytes: int = 24) -> None:
        super().__init__(**STORE_OPTIONS)
        self._disk = self.directory / "disk"
        self._disk.mkdir()
        if os.geteuid():
            pytest.skip("only root can mount a small disk")
        mount = f"mount -t tmpfs -o size={megabytes}m none {self._disk} && echo there && exec cat"
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != b"there\n":
            self.remove()
            pytest.skip("this machine lets nobody mount a small disk")
        enter = f"nsenter --target {self._keeper.pid} --mount {self.binary}"
        self.binary = str(wrapper(self.directory / "run", enter, {}))
        self.options["dir"] = str(self._disk)

    @property
    def _filler(self) -> Path:
        return Path(f"/proc/{self._keeper.pid}/root{self._disk}/filler")

    def fill(self) -> None:
        """Leave no room."""
        for block in (_BLOCK, b"\0"):
            with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as file:
                while file.write(block):
                    pass

    def free(self) -> None:
        """Room again."""
        self._filler.unlink()

    def ended(self) -> bool:
        """Whether the server has given up."""
        return self.process is not None and self.process.poll() is not None

    def remove(self) -> None:
        """Stop it and delete its data."""
        super().remove()
        if self._keeper.poll() is None:
            self._keeper.send_signal(signal.SIGKILL)
            self._keeper.wait()
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            if pipe is not None:
                pipe.close()
