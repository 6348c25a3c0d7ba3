"""The data directory of `relay up`: what lies where, who may use it, and how others find it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from relay.config.load import RUNNING
from relay.errors import ConfigError

#: Octets of a unix socket's path, the final zero not counted (unix(7)).
_LONGEST_SOCKET = 107


class Place:
    """One data directory. Nothing in it is for other users."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.store = self.root / "store"
        self.logs = self.root / "log"
        self.sink = self.root / "sink"
        self.running = self.root / RUNNING
        self.sockets = self.root

    @contextmanager
    def claimed(self, *, sandbox: bool) -> Iterator[None]:
        """Hold the directory for this process alone, made where it is not there yet.

        Raises ConfigError where another `relay up` runs on it, or where it was used for real
        delivery and is now to be a sandbox, or the other way round.
        """
        try:
            for path in (self.root, self.store, self.logs):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError([f"data: {self.root} cannot be used: {error}"]) from None
        with os.fdopen(handle, "r+") as lock:
            self._lock(lock.fileno(), lock.read().strip())
            lock.seek(0)
            lock.truncate()
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            self._settle(sandbox)
            with self._socket_directory():
                try:
                    yield
                finally:
                    self.running.unlink(missing_ok=True)

    def announce(self, variables: Mapping[str, str]) -> None:
        """Let other commands find this instance by its data directory, while it runs."""
        text = "# Written by relay up, while it runs: how other commands find it.\n"
        text += "".join(f"{name}={value}\n" for name, value in variables.items())
        fresh = self.running.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(self.running)

    def socket(self, name: str) -> Path:
        """Where the server of that name listens."""
        return self.sockets / f"{name}.sock"

    def _lock(self, handle: int, holder: str) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                [
                    f"data: {self.root} is in use by another relay up (process {holder}): "
                    "stop that one, or name another directory by --data or RELAY_DATA"
                ]
            ) from None

    def _settle(self, sandbox: bool) -> None:
        """What waits in a sandbox must never leave it, and real messages must not end in one."""
        mark = self.root / "mode"
        mode = "sandbox" if sandbox else "delivery"
        if not mark.exists():
            mark.write_text(f"{mode}\n", encoding="utf-8")
        found = mark.read_text(encoding="utf-8").strip()
        if found != mode:
            start = "with --sandbox" if found == "sandbox" else "without --sandbox"
            raise ConfigError(
                [
                    f"data: the messages in {self.root} were accepted {start}: start it so "
                    "again, or name another directory by --data or RELAY_DATA"
                ]
            )

    @contextmanager
    def _socket_directory(self) -> Iterator[None]:
        """The data directory, or a private one with a short name where its path is too long."""
        if len(os.fsencode(self.root / "broker.sock")) <= _LONGEST_SOCKET:
            yield
            return
        with tempfile.TemporaryDirectory(prefix="relay-") as short:
            self.sockets = Path(short)
            yield
