"""What the store runs, as MONITOR tells, and what of it was slow."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.faults.taps import NAMES
from tests.support.valkey import ValkeyServer

#: A command's line: who said it (an address, or lua), the command, and what it is said to.
_LINE = re.compile(rb'^\+[\d.]+ \[\d+ ([^\]]*)\] "([^"]*)"(?: "([^"]*)")?', re.MULTILINE)
#: Microseconds that no script may take.
LONGEST_US = 5000
_SEARCHES = ("SCAN", "KEYS", "HSCAN", "SSCAN", "ZSCAN")


@dataclass
class Heard:
    """What came of it."""

    #: Calls of scripts, and all commands; what goes through all keys; scripts that took too long,
    #: with their milliseconds.
    scripts: int = 0
    commands: int = 0
    searches: int = 0
    slow: list[tuple[str, float]] = field(default_factory=list)

    def add(self, other: Heard) -> None:
        """Sum up."""
        self.scripts += other.scripts
        self.commands += other.commands
        self.searches += other.searches
        self.slow += other.slow

    def assert_harmless(self) -> None:
        """Nobody looks through all keys, and no script takes long.

        A machine that is busy with something else holds the server up now and then.
        """
        assert not self.searches, f"{self.searches} x SCAN or KEYS"
        assert len(self.slow) <= self.scripts / 50, self.slow


class Overheard:
    """Commands of everybody who comes over TCP, and those of scripts. Use as a context.

    The tests' own commands come through the unix socket.
    """

    def __init__(self, store: ValkeyServer) -> None:
        self._store = store
        self.said: Counter[str] = Counter()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._listen, name="monitor", daemon=True)

    def __enter__(self) -> Self:
        self._store.command("CONFIG", "SET", "slowlog-log-slower-than", str(LONGEST_US))
        self._store.command("SLOWLOG", "RESET")
        self._socket = socket.create_connection(("127.0.0.1", self._store.port), 10)
        self._socket.settimeout(None)
        self._socket.sendall(b"MONITOR\r\n")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def heard(self) -> Heard:
        """All so far."""
        said = self.said
        return Heard(
            said["EVALSHA"] + said["EVAL"],
            said.total(),
            sum(said[name] for name in _SEARCHES),
            self._slow(),
        )

    def _slow(self) -> list[tuple[str, float]]:
        found = []
        for entry in self._store.command("SLOWLOG", "GET", 128):
            micros, command = int(entry[2]), entry[3]
            if bytes(command[0]).upper() == b"EVALSHA":
                found.append((NAMES.get(bytes(command[1]), "?"), micros / 1000))
        return found

    def _listen(self) -> None:
        assert self._socket is not None
        rest = b""
        with contextlib.suppress(OSError):
            while data := self._socket.recv(1 << 20):
                whole, _, rest = (rest + data).rpartition(b"\r\n")
                for who, verb, _ in _LINE.findall(whole):
                    if not who.startswith(b"unix:"):
                        self.said[verb.decode().upper()] += 1
