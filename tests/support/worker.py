"""Real Celery workers as child processes, and the means to talk to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any

from celery import Celery
from kombu import Connection

ROOT = Path(__file__).resolve().parents[2]
#: How long anything may take before a test gives up, in seconds.
PATIENCE = 20.0


def eventually(look: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true value that `look` gives. Fails with `what` when there is none in time."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in {patience} s: {what}")


class Worker:
    """One `celery worker` process with the tests' app; use as a context."""

    def __init__(
        self,
        broker_url: str,
        directory: Path,
        *arguments: str,
        name: str = "w1",
        **environment: str,
    ) -> None:
        self.broker_url = broker_url
        self.name = f"{name}@test"
        self.notes_file = directory / f"{name}.notes"
        self.log_file = directory / f"{name}.log"
        self.arguments = arguments
        self.environment = {
            **os.environ,
            "RELAY_BROKER__URL": broker_url,
            "RELAY_TEST_NOTES": str(self.notes_file),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Worker:
        """Start it; see `wait_ready`."""
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tests.support.worker_app",
            "worker",
            "-n",
            self.name,
            "-l",
            "INFO",
            *self.arguments,
        ]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        return self

    def __enter__(self) -> Worker:
        self.start()
        self.wait_for("ready")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def notes(self, what: str = "", **fields: Any) -> list[dict[str, Any]]:
        """What the worker has noted so far."""
        if not self.notes_file.exists():
            return []
        lines = self.notes_file.read_text().split("\n")[:-1]
        return [
            note
            for note in map(json.loads, lines)
            if (not what or note["what"] == what)
            and all(note.get(key) == value for key, value in fields.items())
        ]

    def wait_for(self, what: str, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
        """Wait until it has noted that, `count` times."""

        def look() -> list[dict[str, Any]]:
            assert self.process is None or self.process.poll() is None, self.log()[-4000:]
            found = self.notes(what, **fields)
            return found if len(found) >= count else []

        try:
            found: list[dict[str, Any]] = eventually(look, f"{count} x {what} {fields}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-3000:]}") from None
        return found

    def log(self) -> str:
        """All that it has logged."""
        return self.log_file.read_text(errors="replace")

    def signal(self, number: Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: Signals | None = None, patience: float = PATIENCE) -> int:
        """Wait for its end, after a signal if one is given; its exit code."""
        assert self.process is not None
        if number is not None:
            self.signal(number)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.log()[-3000:]}") from None


class Client:
    """Somebody else's Celery app, which sends tasks and asks the workers."""

    def __init__(self, broker_url: str) -> None:
        self.app = Celery("producer", broker=broker_url, set_as_current=False)
        self.app.conf.update(
            task_default_queue="relay",
            task_ignore_result=True,
            broker_transport_options={"priority_steps": [0]},
        )
        self.connection: Connection = self.app.connection_for_write()

    def send(self, name: str, *args: Any, **options: Any) -> str:
        """Send a task by its name; its id."""
        sent = self.app.send_task(name, args, connection=self.connection, **options)
        return str(sent.id)

    def inspect(self, command: str, worker: Worker, *args: Any, **options: Any) -> Any:
        """One worker's answer to an inspect command."""

        def ask() -> Any:
            asked = self.app.control.inspect(
                [worker.name], connection=self.connection, timeout=2, limit=1
            )
            return asked._request(command, *args, **options)

        return eventually(ask, f"an answer to {command}")[worker.name]

    def control(self, command: str, worker: Worker, **arguments: Any) -> Any:
        """One worker's answer to a control command."""
        # What is broadcast before it listens is lost, and a command may not be said twice.
        self.inspect("ping", worker)
        answers: Any = self.app.control.broadcast(
            command,
            arguments=arguments,
            destination=[worker.name],
            reply=True,
            limit=1,
            timeout=5,
            connection=self.connection,
        )
        return answers[0][worker.name]

    def waiting(self) -> int:
        """How many tasks lie in the queue."""
        channel: Any = self.connection.default_channel
        return int(channel._size("relay"))


@contextmanager
def client(broker_url: str) -> Iterator[Client]:
    """A client whose connections are closed at the end."""
    made = Client(broker_url)
    try:
        yield made
    finally:
        made.connection.release()
        made.app.close()
