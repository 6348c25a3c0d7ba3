"""The relay command as a child process, away from this machine's settings."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Seconds that a command may take.
PATIENCE = 60


def environment(**more: str) -> dict[str, str]:
    """This process's environment without Relay's settings, and with what is given."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RELAY_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | more


def command(*arguments: str, python: Sequence[str] = ()) -> list[str]:
    """The command line."""
    return [sys.executable, *python, "-m", "relay.cli", *arguments]


def relay(
    *arguments: str, python: Sequence[str] = (), stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in an empty directory; `more` are variables."""
    with tempfile.TemporaryDirectory(prefix="relay-cwd-") as empty:
        done = subprocess.run(
            command(*arguments, python=python),
            cwd=empty,
            env=environment(**more),
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
        )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )
