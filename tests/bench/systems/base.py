"""What every system under test can do: be started, be asked, be stopped."""

from __future__ import annotations

import abc
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench import meter, tools
from tests.bench.figures import Case, Figures, Load
from tests.bench.injector import Injected, inject
from tests.bench.sandbox import Sandbox

#: Seconds to become ready, and to end before it is killed.
_PATIENCE = 60.0
_GRACE = 5.0


class System(abc.ABC):
    """One relay, started afresh for each run in a directory of its own on the real disk."""

    name: str
    #: Whether it runs only in a sandbox with ports and users of its own.
    needs_root = False
    #: Cases that would show nothing of it but their time limit.
    unfit: tuple[str, ...] = ()

    def __init__(self, sandbox: Sandbox, case: Case, place: Path) -> None:
        self.sandbox = sandbox
        self.case = case
        self.place = place / self.name
        self.group = meter.group(self.name, self._root)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod  # noqa: B027 - most are there, or are not
    def install(cls) -> None:
        """Fetch what it needs, outside of the sandbox, where that is not there yet."""

    @classmethod
    def missing(cls) -> str:
        """What it lacks to be run here, "" for nothing."""
        return ""

    @property
    @abc.abstractmethod
    def version(self) -> str:
        """Which version it is."""

    @property
    @abc.abstractmethod
    def durability(self) -> str:
        """What has happened to a message before it is answered with 250."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Write what it needs into the empty directory `place`."""

    @abc.abstractmethod
    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """What to run in the foreground, and its environment."""

    @abc.abstractmethod
    def process_name(self, command: str) -> str:
        """What a process of this command line is called in figures."""

    def counters(self) -> Figures:
        """What it counted itself: possible doubles, lost leases and the like."""
        return {}

    def deferred(self) -> int:
        """Deferrals so far, one for each recipient and attempt; 0 where it does not tell."""
        return 0

    @abc.abstractmethod
    def stored(self) -> int:
        """Octets that its queue takes now: in memory for a store, else on disk."""

    def inject(self, load: Load, limit: float) -> Injected:
        """Hand it a load, for at most `limit` seconds: by SMTP, unless it does not speak that."""
        return inject(load, self.sandbox.submission, limit=limit)

    def destination_is_back(self) -> None:  # noqa: B027 - not every system can be told
        """Have what is deferred attempted again now, where it can be told to."""

    def start(self) -> None:
        """Start, and wait until it takes messages. Raises RuntimeError with its log's end."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        self.prepare()
        argv, env = self.command()
        with (self.place / "output").open("wb") as output:
            self._process = subprocess.Popen(
                argv,
                env=dict(env) | self._slow_sync(),
                stdout=output,
                stderr=output,
                preexec_fn=self.group.join,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self.place / "output").read_text(encoding="utf-8", errors="replace")
                self.stop()
                raise RuntimeError(f"{self.name} did not start:\n{text[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it: in order where that is quick, by force where not."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill_all()
        self._process = None

    def _slow_sync(self) -> dict[str, str]:
        """What makes the system's disk as slow to sync as the case wants it."""
        if not self.case.sync_ms:
            return {}
        library = tools.library("slow_sync")
        if library is None:
            raise RuntimeError("a disk can be slowed down only where there is a C compiler")
        return {"LD_PRELOAD": str(library), "SLOW_SYNC_US": f"{self.case.sync_ms * 1000:.0f}"}

    def _kill_all(self) -> None:
        for one in self.group.members():
            if one.pid != os.getpid():
                os.kill(one.pid, signal.SIGKILL)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _root(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def _answers(self) -> bool:
        """Whether it greets who connects."""
        try:
            with socket.create_connection(self.sandbox.submission, 1.0) as probe:
                return probe.recv(64).startswith(b"220")
        except OSError:
            return False
