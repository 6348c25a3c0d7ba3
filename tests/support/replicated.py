"""A primary with replicas, as durability `replicated` needs them, and sentinels that watch them."""

from __future__ import annotations

import signal
import time
from typing import Any
from urllib.parse import quote

from tests.support.source import eventually
from tests.support.valkey import BROKER_OPTIONS, IN_MEMORY, STORE_OPTIONS, ValkeyServer

#: A replica is there at once, and one that is gone is found out soon.
_REPLICA = {
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "repl-timeout": "5",
}
_OPTIONS = {
    **STORE_OPTIONS,
    **_REPLICA,
    "min-replicas-to-write": "1",
    "min-replicas-max-lag": "2",
}


class ReplicatedStore:
    """`replicas` of them; all are on loopback ports of their own."""

    def __init__(self, replicas: int = 1, home: str = IN_MEMORY, **options: str) -> None:
        chosen = _OPTIONS | {key.replace("_", "-"): value for key, value in options.items()}
        self.servers = [ValkeyServer(home=home, **chosen) for _ in range(1 + replicas)]

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
    def primaries(self) -> list[ValkeyServer]:
        """The servers that have all the data together."""
        return [self.primary]

    @property
    def replicas(self) -> list[ValkeyServer]:
        """Those that live and are no primary."""
        alive = [one for one in self.servers if one.process is not None]
        return [one for one in alive if one.command("ROLE")[0] != b"master"]

    def until_connected(self, count: int) -> None:
        """Wait until the primary has so many replicas that keep up."""

        def good() -> bool:
            lines: bytes = self.primary.command("INFO", "replication")
            return lines.count(b"state=online") == count and b"lag=-1" not in lines

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


class SentinelStore(ReplicatedStore):
    """Three sentinels over them, which take two seconds to see that the primary is gone.

    All want passwords: `store secret` the servers, `watch secret` the sentinels.
    """

    PASSWORD, SENTINEL_PASSWORD, NAME = "store secret", "watch secret", "the-store"

    def __init__(self, replicas: int = 2, **options: str) -> None:
        login = {"requirepass": self.PASSWORD, "masterauth": self.PASSWORD}
        super().__init__(replicas, **(options | login))
        self.sentinels: list[ValkeyServer] = []

    def start(self) -> SentinelStore:
        """Start all, and wait until the sentinels know each other and the replicas."""
        super().start()
        self.sentinels = [Sentinel(self) for _ in range(3)]
        for one in self.sentinels:
            one.start()
        eventually(lambda: all(map(self._knows_all, self.sentinels)), "sentinels know all", 20)
        return self

    def _knows_all(self, sentinel: ValkeyServer) -> bool:
        flat = sentinel.command("SENTINEL", "MASTER", self.NAME)
        told = dict(zip(flat[::2], flat[1::2], strict=True))
        found = (int(told[b"num-slaves"]), int(told[b"num-other-sentinels"]))
        return found == (len(self.servers) - 1, 2)

    @property
    def url(self) -> str:
        """As the setting has it."""
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        login, watch = quote(self.PASSWORD), quote(self.SENTINEL_PASSWORD)
        return f"redis+sentinel://:{login}@{places}/{self.NAME}/0?sentinel_password={watch}"

    @property
    def tcp_url(self) -> str:
        """The same."""
        return self.url

    def remove(self) -> None:
        """End all, and delete their data."""
        for one in self.sentinels:
            one.remove()
        super().remove()


class SentinelBroker(SentinelStore):
    """The same with nothing on disk."""

    def __init__(self) -> None:
        super().__init__(1, **BROKER_OPTIONS, min_replicas_to_write="0")


class Sentinel(ValkeyServer):
    """One sentinel; it keeps what it learns in its own configuration file."""

    def __init__(self, store: SentinelStore) -> None:
        super().__init__(home=IN_MEMORY, requirepass=store.SENTINEL_PASSWORD)
        name, port = store.NAME, store.primary.port
        self._lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"unixsocket {self.socket}",
            f"dir {self.directory}",
            f"logfile {self.directory / 'log'}",
            f'requirepass "{store.SENTINEL_PASSWORD}"',
            f'sentinel sentinel-pass "{store.SENTINEL_PASSWORD}"',
            f"sentinel monitor {name} 127.0.0.1 {port} 2",
            f'sentinel auth-pass {name} "{store.PASSWORD}"',
            f"sentinel down-after-milliseconds {name} 2000",
            f"sentinel failover-timeout {name} 10000",
            f"sentinel parallel-syncs {name} 2",
        ]

    def arguments(self) -> list[str]:
        """A file and no options."""
        file = self.directory / "sentinel.conf"
        file.write_text("\n".join(self._lines) + "\n")
        return [str(file), "--sentinel"]


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
