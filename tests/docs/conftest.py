"""What `make run` starts, for the examples of the documents to talk to."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.relay import PATIENCE, environment
from tests.support.up import Up, eventually


class Sandbox:
    """A directory with `.venv/bin/relay` and `data` in it, as the checkout is after `make run`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        program = place / ".venv" / "bin" / "relay"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m relay.cli "$@"\n')
        program.chmod(0o755)
        self.up = Up(place / "data")
        listen = self.up.variables["RELAY_EXPORTER__LISTEN"]
        #: The ports that documents name, and those that are free here.
        self.places = {"127.0.0.1:2525": f"127.0.0.1:{self.up.smtp}", "127.0.0.1:9925": listen}
        self.places["127.0.0.1:8025"] = f"127.0.0.1:{self.up.http}"

    def adapted(self, text: str) -> str:
        """An example with the ports of this instance in place of the usual ones."""
        for usual in ('"127.0.0.1", 2525', '"127.0.0.1", port: 2525', "--port=2525"):
            text = text.replace(usual, usual.replace("2525", str(self.up.smtp)))
        for usual, here in self.places.items():
            text = text.replace(usual, here)
        return text

    def run(self, *argv: str, seconds: float = PATIENCE) -> str:
        """Run a program in the directory; what it printed. It must end with 0."""
        done = subprocess.run(
            argv,
            cwd=self.place,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def shell(self, text: str) -> str:
        """Run an example for the shell."""
        return self.run("bash", "-euo", "pipefail", "-c", self.adapted(text))

    def delivered(self, subject: str) -> list[str]:
        """The messages with that subject in the sink."""
        files = (self.place / "data" / "sink").glob("*.eml")
        contents = [file.read_bytes().decode() for file in files]
        return [text for text in contents if f"\r\nSubject: {subject}\r\n" in text]

    def until_delivered(self, subject: str) -> str:
        """The one message with that subject, once it is in the sink."""
        eventually(lambda: self.delivered(subject), lambda: f"{subject!r} in the sink")
        [text] = self.delivered(subject)
        return text


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One for all examples."""
    sandbox = Sandbox(tmp_path_factory.mktemp("docs"))
    with sandbox.up:
        yield sandbox
