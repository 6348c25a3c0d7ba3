"""Lanes: faults beside each other, each lane in a process and with systems of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from tests.faults.apart import APART
from tests.faults.faults import CATALOGUE, KILLS, OTHERS, Fault
from tests.faults.ledger import Verdict
from tests.faults.overheard import Heard, Overheard
from tests.faults.row import Row, row
from tests.faults.stage import Stage
from tests.support.site import Site

#: Those of a lane happen in one system, which has to live through all of them; the last ones each
#: need their own.
_LANES = (
    tuple(fault.name for fault in KILLS[:6]),
    tuple(fault.name for fault in KILLS[6:]),
    tuple(fault.name for fault in OTHERS),
    tuple(APART),
)
EVERY = tuple(name for lane in _LANES for name in lane)

#: A row without its fault, which cannot be sent from process to process.
_Sent = tuple[str, int, int, Verdict, float, Heard]


def run(names: Sequence[str], times: int) -> list[Row]:
    """The rows of these faults, in the order of the lanes."""
    lanes = [[name for name in lane if name in names] for lane in _LANES]
    lanes = [lane for lane in lanes if lane]
    with ProcessPoolExecutor(len(lanes), get_context("spawn")) as pool:
        done = [pool.submit(_lane, lane, times) for lane in lanes]
        return [_row(*sent) for lane in done for sent in lane.result()]


def _row(name: str, *rest: Any) -> Row:
    return Row(CATALOGUE.get(name) or APART[name].fault, *rest)


def _lane(names: Sequence[str], times: int) -> list[_Sent]:
    if names[0] in APART:
        return [_told(APART[name].run(times)) for name in names]
    with Site() as site, Stage(site) as stage:
        return [_told(_listened(stage, CATALOGUE[name], times)) for name in names]


def _listened(stage: Stage, fault: Fault, times: int) -> Row:
    """A row; what the store runs meanwhile is overheard where it lives through it."""
    if fault not in KILLS:
        return row(stage, fault, times or fault.times)
    with Overheard(stage.store) as overheard:
        done = row(stage, fault, times or fault.times)
        done.heard = overheard.heard()
    return done


def _told(done: Row) -> _Sent:
    found = done.verdict
    print(
        f"{time.strftime('%H:%M:%S')} {done.fault.name}: {done.tried} times, {found.accepted} "
        f"accepted, {found.lost} lost, {found.doubled} doubled of {found.possible} possible, "
        f"{done.recovered:.1f} s; {len(found.faults)} faults",
        file=sys.stderr,
        flush=True,
    )
    return done.fault.name, done.tried, done.kills, replace(found), done.recovered, done.heard
