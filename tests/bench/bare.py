"""A bare store: one as `relay up` starts it, without any of Relay's roles, and what it costs."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import redis

from relay.cli.up import valkey
from relay.cli.up.place import Place

_PATIENCE = 20.0
#: Seconds between two looks at a rewrite of the file.
_LOOK = 0.2


class BareStore:
    """A running store of its own, in a new directory."""

    def __init__(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        place = Place(directory)
        place.store.mkdir(parents=True)
        program = valkey.store(place, 0)
        self._directory = directory
        self._process = subprocess.Popen(
            program.argv, env=program.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.socket = place.socket("store")
        self.commands = redis.Redis(unix_socket_path=str(self.socket))
        deadline = time.monotonic() + _PATIENCE
        while not self.socket.exists() or not self.commands.ping():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("the store did not start")
            time.sleep(0.01)

    @property
    def url(self) -> str:
        """For a client of Relay's."""
        return f"unix://{self.socket}"

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far, to the nanosecond, of the server and none of its children."""
        total = 0
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            total += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
        return total / 1e9

    @property
    def used_octets(self) -> int:
        """Of memory, by its own count."""
        return int(self.commands.info("memory")["used_memory"])

    def sync(self, *, always: bool) -> None:
        """Have the file synced before each answer, as it is; or not, while it is filled."""
        self.commands.config_set("appendfsync", "always" if always else "no")

    def rewrite_by_itself(self, *, may: bool) -> None:
        """Whether it rewrites its file when that has grown enough."""
        self.commands.config_set("auto-aof-rewrite-percentage", 100 if may else 0)

    def rewrite(self) -> float:
        """Have it rewrite its file now; the seconds that it took."""
        began = time.monotonic()
        self.commands.bgrewriteaof()
        while self.commands.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(_LOOK)
        return time.monotonic() - began

    def stop(self) -> None:
        """Kill it, and remove its data."""
        self.commands.close()
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def own_cpu_s() -> float:
    """CPU seconds of the calling thread: of the client, whose loop runs in it."""
    return time.clock_gettime_ns(time.CLOCK_THREAD_CPUTIME_ID) / 1e9
