"""A primary with replicas, as durability `replicated` needs them: all sync as a store does."""

from __future__ import annotations

import signal
import time
from typing import Any

from tests.support.source import eventually
from tests.support.valkey import STORE_OPTIONS, ValkeyServer

#: A replica is there at once, and one that is gone is found out soon.
_OPTIONS = {
    **STORE_OPTIONS,
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "repl-timeout": "5",
    "min-replicas-to-write": "1",
    "min-replicas-max-lag": "2",
}


class ReplicatedStore:
    """`replicas` of them; all are on loopback ports of their own."""

    def __init__(self, replicas: int = 1, **options: str) -> None:
        chosen = _OPTIONS | {key.replace("_", "-"): value for key, value in options.items()}
        self.servers = [ValkeyServer(**chosen) for _ in range(1 + replicas)]

    def start(self) -> ReplicatedStore:
        """Start them, and wait until all replicas have everything."""
        first, *others = self.servers
        first.start()
        for one in others:
            one.options["replicaof"] = f"127.0.0.1 {first.port}"
            one.start()
        self.until_connected(len(others))
        return self

    @property
    def primary(self) -> ValkeyServer:
        """The one that is primary now."""
        for one in self.servers:
            if one.process is not None and one.command("ROLE")[0] == b"master":
                return one
        raise RuntimeError("no primary is alive")

    @property
    def replicas(self) -> list[ValkeyServer]:
        """Those that live and are no primary."""
        alive = [one for one in self.servers if one.process is not None]
        return [one for one in alive if one.command("ROLE")[0] != b"master"]

    def until_connected(self, count: int) -> None:
        """Wait until the primary has so many replicas that keep up."""

        def good() -> bool:
            lines: bytes = self.primary.command("INFO", "replication")
            return f"min_slaves_good_slaves:{count}".encode() in lines.splitlines()

        eventually(good, "the replicas are connected", 20)

    def command(self, *arguments: str | bytes | int) -> Any:
        """One command to the primary."""
        return self.primary.command(*arguments)

    def flush(self) -> None:
        """Forget all data and all scripts."""
        self.primary.flush()

    def remove(self) -> None:
        """End all, and delete their data."""
        for one in self.servers:
            one.remove()


class Paused:
    """A server that stands still: `with Paused(server): ...`."""

    def __init__(self, server: ValkeyServer) -> None:
        assert server.process is not None
        self._process = server.process

    def __enter__(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        # A process on another core may yet answer what it has read.
        deadline = time.monotonic() + 5
        while "T (stopped)" not in _status(self._process.pid) and time.monotonic() < deadline:
            time.sleep(0.001)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGCONT)


def _status(pid: int) -> str:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return file.read()
