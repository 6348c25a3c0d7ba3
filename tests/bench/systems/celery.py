"""Naive Celery: what most teams write. One task per message, smtplib, four prefork processes.

It has no SMTP reception: messages are published as tasks by an application, whose CPU is not
counted. Its broker is as durable as Relay's store. See peers/celery_relay.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from tests.bench.figures import Load
from tests.bench.injector import Injected
from tests.bench.systems.beside import WithStore

_ROOT = Path(__file__).parents[3]
_APP = "tests.bench.peers.celery_relay"
_SUBMIT = "tests.bench.peers.celery_submit"
_PROCESSES = 4
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")


class Celery(WithStore):
    """One task per message."""

    name = "celery"
    #: All 50,000 tasks would be waiting for their countdowns in the worker.
    unfit = ("E",)

    @property
    def version(self) -> str:
        """Of the package."""
        return version("celery")

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """Broker and worker."""
        pool = ("--pool", "prefork", "--concurrency", str(_PROCESSES))
        words = (sys.executable, "-m", "celery", "--workdir", str(_ROOT), "-A", _APP, "worker")
        return self.with_store((*words, *pool, *_QUIET)), self._environment()

    def inject(self, load: Load, limit: float) -> Injected:
        """Publish the load."""
        ran = subprocess.run(
            [sys.executable, "-m", _SUBMIT, str(limit)],
            cwd=_ROOT,
            env=dict(self._environment()),
            input=msgspec.json.encode(load),
            stdout=subprocess.PIPE,
            check=True,
        )
        return msgspec.json.decode(ran.stdout, type=Injected)

    def _environment(self) -> Mapping[str, str]:
        own = {
            "RELAY_BENCH_BROKER": f"redis://127.0.0.1:{self.store_port}/0",
            "RELAY_BENCH_READY": str(self._ready),
            "C_FORCE_ROOT": "1",
        }
        return {**os.environ, **own}

    @property
    def _ready(self) -> Path:
        return self.place / "ready"

    def _answers(self) -> bool:
        return self._ready.exists()
