"""The collector of cycles in a process that has started."""

from __future__ import annotations

import subprocess
import sys

_SAID = "import gc, relay.store.client; from relay import heap; heap.settle(); print({})"


def said(what: str) -> str:
    """In a process of its own, whose heap may be frozen."""
    done = subprocess.run(
        [sys.executable, "-c", _SAID.format(what)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_was_imported_is_looked_through_no_more() -> None:
    assert said("gc.get_freeze_count() > 10_000 and len(gc.get_objects()) < 1000") == "True"


def test_cycles_are_still_collected() -> None:
    made = "[(made := []).append(made) for _ in range(200_000)] and len(gc.get_objects()) < 50_000"
    assert said(made) == "True"
