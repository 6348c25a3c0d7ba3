"""`relay up` as a child process, on ports and a data directory of its own."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.support.ports import free_port, free_row
from tests.support.relay import command, environment

#: What it prints last, once all of it runs.
READY = "stop       Ctrl-C"
#: Seconds that starting, stopping or any other step may take.
PATIENCE = 60.0


class Up:
    """One `relay up --sandbox`; use it as a context, or `start` and `end` it."""

    def __init__(self, data: Path, *arguments: str, **variables: str) -> None:
        self.data = data
        self.arguments = arguments
        self.smtp, self.http, self.sink = free_port(), free_port(), free_port()
        self.metrics = free_row(3)
        self.variables = {
            "RELAY_SMTP__LISTEN": f"127.0.0.1:{self.smtp}",
            "RELAY_HTTP__LISTEN": f"127.0.0.1:{self.http}",
            "RELAY_SANDBOX__LISTEN": f"127.0.0.1:{self.sink}",
            "RELAY_EXPORTER__LISTEN": f"127.0.0.1:{free_port()}",
            "RELAY_METRICS__LISTEN": f"127.0.0.1:{self.metrics}",
            **variables,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._log = data.with_name(f"{data.name}.out")
        self._children: list[psutil.Process] = []

    def __enter__(self) -> Up:
        self.start()
        try:
            self.wait_for(READY)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Start it; `wait_for(READY)` waits until all of it runs."""
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command("up", "--sandbox", "--data", str(self.data), *self.arguments),
                cwd=self.data.parent,
                env=environment(**self.variables),
                stdout=log,
                stderr=log,
            )

    def output(self) -> str:
        """All that it has printed."""
        return self._log.read_text()

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until it has printed that so often."""
        eventually(
            lambda: self.output().count(text) >= count, lambda: f"{text!r} in\n{self.output()}"
        )

    def children(self) -> dict[str, psutil.Process]:
        """Its child processes by name."""
        assert self.process is not None
        found = psutil.Process(self.process.pid).children(recursive=True)
        self._children = found
        return {_name(child): child for child in found}

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def end(self) -> int:
        """Stop it as an operator would, and by force where that does not help."""
        assert self.process is not None
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(PATIENCE)


def eventually(look: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait until `look` gives a true value. Fails with `what` where it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, f"not in {PATIENCE} s: {what()}"
        time.sleep(0.02)


def _name(process: psutil.Process) -> str:
    """store, broker, or the role."""
    argv = process.cmdline()
    if "celery" in argv:
        return "worker"
    if "--unixsocket" in argv:
        return Path(argv[argv.index("--unixsocket") + 1]).stem
    return argv[-1] if argv else ""
