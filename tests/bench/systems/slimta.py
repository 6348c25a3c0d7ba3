"""python-slimta on a store as durable as Relay's: the fastest relay in Python so far.

It has an environment of its own, which is made when it is first wanted. Its parts are put together
as its manual does, with sessions that are used again; see peers/slimta_relay.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench import cache
from tests.bench.systems.beside import WithStore

#: With versions of what it uses that it still works with.
_PINS = (
    "python-slimta==5.0.5",
    "python-slimta-redisstorage==0.3.1",
    "pycares<5",
    "redis<5",
    "setuptools>=78,<81",
)
_PROGRAM = Path(__file__).parents[1] / "peers" / "slimta_relay.py"
_MAKE_VENV = Path(__file__).parents[3] / "tools" / "venv"


class Slimta(WithStore):
    """python-slimta, SMTP to SMTP."""

    name = "slimta"

    @classmethod
    def install(cls) -> None:
        """An environment of its own."""
        pip = ("-m", "pip", "install", "-qq", "--disable-pip-version-check")

        def make(place: Path) -> None:
            subprocess.run([_MAKE_VENV, sys.executable, place], check=True)
            subprocess.run([place / "bin" / "python", *pip, *_PINS], check=True)

        cache.make("slimta", make)

    @classmethod
    def missing(cls) -> str:
        """Whether it could be installed."""
        return "" if cache.find("slimta") else "python-slimta, which pip could not install"

    @property
    def version(self) -> str:
        """As it is pinned."""
        return _PINS[0].rpartition("=")[2]

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """Store and relay."""
        python = cache.place("slimta") / "bin" / "python"
        host, port = self.sandbox.submission
        words = (str(python), str(_PROGRAM), f"{host}:{port}", str(self.store_port))
        return self.with_store(words), os.environ

    def destination_is_back(self) -> None:
        """Have it attempt again what is deferred."""
        for one in self.group.members():
            if self.process_name(one.command) == self.name:
                os.kill(one.pid, signal.SIGUSR1)
