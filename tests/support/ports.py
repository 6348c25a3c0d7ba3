"""Ports for servers of tests, which nobody takes between the choice and the server's start.

A port that the system gave a moment ago, and that was closed again, is one that it gives to others
as well: to a client for its end of a connection, or to whoever asks next. So ports are taken from
below those that the system gives by itself, in blocks of which each process of a run has its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from itertools import count
from pathlib import Path
from typing import TextIO

#: The first port and the one behind the last: Linux gives those from 32768 on by itself.
_FIRST, _END = 12_000, 32_000
_SIZE = 200


class _Block:
    """Ports that no other process of any run takes as long as this one lives."""

    def __init__(self) -> None:
        self._first, self._lock = _claimed()
        self._next = count()

    def row(self, ports: int) -> int | None:
        """The first of so many free ones that follow one another; None where there are none."""
        row: list[int] = []
        for _ in range(2 * _SIZE):
            port = self._first + next(self._next) % _SIZE
            follows = bool(row) and port == row[-1] + 1
            row = [*(row if follows else []), port] if _is_free(port) else []
            if len(row) == ports:
                return row[0]
        return None


class _Blocks:
    """Those of this process: one as a rule, and more where many connections ended a moment ago,
    whose ports the system keeps for a minute."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._blocks: list[_Block] = []

    @property
    def ours(self) -> bool:
        """Not after a fork: then they are the parent's."""
        return self._owner == os.getpid()

    def row(self, ports: int) -> int:
        """The first of so many that follow one another. Raises OSError."""
        if ports > _SIZE:
            raise OSError(f"at most {_SIZE} ports follow one another")
        for block in self._blocks:
            if first := block.row(ports):
                return first
        self._blocks.append(_Block())
        return self.row(ports)


def _claimed() -> tuple[int, TextIO]:
    """The first port of a block, and the lock on it: the system opens it when the process ends."""
    directory = Path(tempfile.gettempdir()) / f"relay-test-ports-{os.getuid()}"
    directory.mkdir(exist_ok=True)
    for first in random.sample(range(_FIRST, _END, _SIZE), (_END - _FIRST) // _SIZE):
        lock = (directory / str(first)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
        else:
            return first, lock
    raise OSError("all ports for tests are taken by other runs")


_blocks: _Blocks | None = None


def free_port() -> int:
    """A port of loopback for a server, over TCP or UDP, that is about to start."""
    return free_row(1)


def free_row(ports: int) -> int:
    """The first of so many ports that follow one another."""
    global _blocks
    if _blocks is None or not _blocks.ours:
        _blocks = _Blocks()
    return _blocks.row(ports)


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("127.0.0.1", port))
        return True
    return False
