"""Haraka from npm: one Node process, which takes messages and delivers them from files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench import cache
from tests.bench.systems.base import System

_PACKAGE = "Haraka@3.3"
#: All that it is told, by file. It takes any recipient from anybody, as nobody else is here.
_CONFIG = {
    "config/smtp.ini": "listen={host}:{port}\n",
    "config/me": "haraka.bench.test\n",
    "config/loglevel": "WARN\n",
    "config/plugins": "open\n",
    "config/outbound.bounce_message": "",
    "config/outbound.ini": (
        "concurrency_max=100\nenable_tls=false\nlocal_mx_ok=true\ninet_prefer=v4\n"
    ),
    "plugins/open.js": (
        "exports.hook_connect = function (next, connection) {{\n"
        "  connection.relaying = true\n  next()\n}}\n"
        "exports.hook_rcpt = function (next) {{ next(OK) }}\n"
    ),
}


class Haraka(System):
    """Haraka with a hundred deliveries at once, as many as tuned Postfix has processes."""

    name = "haraka"
    needs_root = True
    #: It cannot be told that a destination is back.
    unfit = ("E",)

    @classmethod
    def install(cls) -> None:
        """From npm, where that is."""
        npm = shutil.which("npm")
        if npm is None:
            return

        def make(place: Path) -> None:
            (place / "package.json").write_text("{}", encoding="utf-8")
            quiet = ("--no-audit", "--no-fund", "--omit=optional", "--loglevel=error")
            subprocess.run([npm, "install", *quiet, _PACKAGE], cwd=place, check=True)

        cache.make("haraka", make)

    @classmethod
    def missing(cls) -> str:
        """Node, or the package."""
        there = cache.find("haraka") and shutil.which("node")
        return "" if there else "Haraka, which npm could not install"

    @property
    def version(self) -> str:
        """As npm installed it."""
        about = (self._package / "package.json").read_text(encoding="utf-8")
        return str(json.loads(about)["version"])

    @property
    def durability(self) -> str:
        """It syncs the file that it writes, and not the directory (its FsyncWriteStream)."""
        return "fsync of each message's queue file"

    def prepare(self) -> None:
        """A directory with settings, plugin and queue."""
        host, port = self.sandbox.submission
        (self.place / "queue").mkdir()
        for name, text in _CONFIG.items():
            file = self.place / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text.format(host=host, port=port), encoding="utf-8")
        # It does not start without one.
        shutil.copy(self._package / "config" / "connection.ini", self.place / "config")

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """In the foreground."""
        return ("node", str(self._package / "bin" / "haraka"), "-c", str(self.place)), os.environ

    def process_name(self, command: str) -> str:
        """There is one process."""
        return self.name

    def stored(self) -> int:
        """Octets that its queue files take on the disk."""
        return sum(one.lstat().st_blocks * 512 for one in (self.place / "queue").iterdir())

    @property
    def _package(self) -> Path:
        return cache.place("haraka") / "node_modules" / "Haraka"
