"""Faults that need a system of their own: another store, other clocks, other code."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.disk import SmallDisk
from tests.faults.faults import Fault, Happening, refused
from tests.faults.poison import ANSWERED, MARK, TOUCHED, deaths, poisoned
from tests.faults.row import Row, row
from tests.faults.stage import Stage
from tests.support.clock import JumpingServer, faked, set_ahead
from tests.support.relay import ROOT
from tests.support.site import Site
from tests.support.source import submit
from tests.support.valkey import STORE_OPTIONS

#: Where the code that is upgraded from lies; else it is taken from the repository.
_OLD = "RELAY_FAULTS_OLD"


@dataclass(frozen=True)
class Apart:
    """`stage` makes the system, together with what does the fault in it."""

    name: str
    words: str
    times: int
    stage: Callable[[Site], Iterator[tuple[Stage, Happening]]]

    @property
    def fault(self) -> Fault:
        """The fault, for a table."""
        return Fault(self.name, self.words, lambda _stage, _times: 0, self.times)

    def run(self, times: int = 0) -> Row:
        """In a system that is made for it."""
        with Site() as site, contextmanager(self.stage)(site) as (stage, happens):
            return row(stage, replace(self.fault, happens=happens), times or self.times)


def _full_disk(site: Site) -> Iterator[tuple[Stage, Happening]]:
    store = SmallDisk()

    def happens(stage: Stage, times: int) -> int:
        for _ in range(times):
            time.sleep(1)
            store.fill()
            stage.until(store.ended, "the server ends, as its disk is full")
            stage.until(lambda: refused(stage) == 451, "451 while it is away")
            store.free()
            store.start()
        return times

    with Stage(site, store=store) as stage:
        yield stage, happens


def _store_clock(site: Site) -> Iterator[tuple[Stage, Happening]]:
    store = JumpingServer(**STORE_OPTIONS)
    yield from _clock(Stage(site, store=store), store.jump)


def _worker_clock(site: Site) -> Iterator[tuple[Stage, Happening]]:
    with tempfile.TemporaryDirectory() as directory:
        clock = Path(directory) / "clock"
        set_ahead(clock, 0)
        stage = Stage(site)
        stage.more["worker"] = faked(clock)
        yield from _clock(stage, lambda seconds: set_ahead(clock, seconds))


def _clock(made: Stage, jump: Callable[[int], None]) -> Iterator[tuple[Stage, Happening]]:
    """An hour ahead, and back by as much as retries may well be late by."""

    def happens(stage: Stage, times: int) -> int:
        ahead = 0
        for n in range(times):
            time.sleep(2)
            ahead += 3600 if n % 2 == 0 else -15
            jump(ahead)
        return times

    with made as stage:
        yield stage, happens


def _poison(site: Site) -> Iterator[tuple[Stage, Happening]]:
    """Each message ends the workers that touch it, by another part of it."""

    def happens(stage: Stage, times: int) -> int:
        for n in range(times):
            point = (TOUCHED, ANSWERED)[n % 2]
            bad = submit(stage.port, poisoned(f"bad{n}", f"bad{n}@poison1.test"))[f"bad{n}"]
            died = len(list(deaths(stage, point)))
            held = stage.store.command("ZRANGE", "relay:{p00}:held", 0, -1)
            assert held == [f"{bad}.0".encode()], f"held after {died} deaths: {held}"
            assert stage.run("cancel", bad).returncode == 0
        return times

    with Stage(site, marked=MARK) as stage:
        yield stage, happens


def _upgrade(site: Site) -> Iterator[tuple[Stage, Happening]]:
    """From the code before the last change of the scripts to this one, back, and again."""
    with tempfile.TemporaryDirectory() as directory:
        old = os.environ.get(_OLD) or _checkout(Path(directory))
        versions = {True: {"PYTHONPATH": old}, False: {"PYTHONPATH": str(ROOT)}}
        stage = Stage(site)
        for role in ("worker", "smtp", "http"):
            stage.more[role] = versions[True]

        def happens(stage: Stage, times: int) -> int:
            for n in range(times):
                for role in ("worker", "smtp", "http"):
                    stage.more[role] = versions[n % 2 == 1]
                for one in stage.alive():
                    stage.start_worker()
                    one.terminate()
                    assert one.wait(20) == 0
                stage.workers = stage.alive()
                for one in (stage.smtp, *stage.alive("http")):
                    one.terminate()
                    assert one.wait(20) == 0
                stage.ready()
            return times

        with stage:
            yield stage, happens


def _checkout(directory: Path) -> str:
    """The code before the scripts were last changed."""
    changed = _git("rev-list", "--max-count=1", "HEAD", "--", "relay/store/scripts").strip()
    archive = subprocess.run(
        ["git", "archive", f"{changed.decode()}~1"], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "x", "-C", str(directory)], input=archive.stdout, check=True)
    return str(directory)


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


APART = {
    one.name: one
    for one in (
        Apart("disk", "the disk of the store's append-only file is full", 2, _full_disk),
        Apart("store-clock", "the store's clock jumps, an hour ahead and 15 s back", 4,
              _store_clock),
        Apart("worker-clock", "the workers' clocks jump, an hour ahead and 15 s back", 4,
              _worker_clock),
        Apart("poison", "a message ends every worker that touches it: it alone is held", 2,
              _poison),
        Apart("upgrade", "all processes are replaced by another version of the code", 2, _upgrade),
    )
}  # fmt: skip
