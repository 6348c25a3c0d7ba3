"""The systems under test."""

from __future__ import annotations

from collections.abc import Iterable

from tests.bench.systems.base import System
from tests.bench.systems.celery import Celery
from tests.bench.systems.haraka import Haraka
from tests.bench.systems.postfix import Postfix
from tests.bench.systems.relay import Relay
from tests.bench.systems.slimta import Slimta

#: By name, in the order in which they take turns.
SYSTEMS: dict[str, type[System]] = {
    one.name: one for one in (Relay, Postfix, Slimta, Celery, Haraka)
}
#: Those of a quick run.
QUICK = ("relay", "postfix")


def usable(names: Iterable[str], *, private: bool) -> tuple[list[str], list[str]]:
    """Which of these systems can be run here, and a line for each that cannot."""
    able, lines = [], []
    for name in names:
        lacks = SYSTEMS[name].missing()
        if not lacks and SYSTEMS[name].needs_root and not private:
            lacks = "a sandbox, which takes root and unshare"
        if lacks:
            lines.append(f"{name} is left out, it lacks: {lacks}")
        else:
            able.append(name)
    return able, lines
