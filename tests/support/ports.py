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
        self._owner = os.getpid()
        self._first, self._lock = _claimed()
        self._next = count()

    @property
    def ours(self) -> bool:
        """Not after a fork: then it is the parent's."""
        return self._owner == os.getpid()

    def next(self) -> int:
        """The next port; the first again behind the last."""
        return self._first + next(self._next) % _SIZE


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


_block: _Block | None = None


def free_port() -> int:
    """A port of loopback for a server, over TCP or UDP, that is about to start."""
    return free_row(1)


def free_row(ports: int) -> int:
    """The first of so many ports that follow one another."""
    global _block
    if _block is None or not _block.ours:
        _block = _Block()
    row: list[int] = []
    for _ in range(2 * _SIZE):
        port = _block.next()
        follows = bool(row) and port == row[-1] + 1
        row = [*(row if follows else []), port] if _is_free(port) else []
        if len(row) == ports:
            return row[0]
    raise OSError("all ports of this process are in use")


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("127.0.0.1", port))
        return True
    return False
