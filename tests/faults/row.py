"""A row of the table: a load, a fault in the midst of it, and what became of the mail."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.faults.faults import Fault
from tests.faults.ledger import Load, Verdict, check
from tests.faults.stage import Stage
from tests.support.source import Source

#: Seconds for all that was accepted to come to its end after the last fault.
_RECOVERY = 90.0


@dataclass
class Row:
    """What is written down of a fault."""

    fault: Fault
    tried: int
    kills: int
    verdict: Verdict
    #: Seconds from the last fault until nothing that was accepted before it waited any more.
    recovered: float


def row(stage: Stage, fault: Fault, times: int, name: str = "") -> Row:
    """Load, fault, recovery, check."""
    load = Load(name or fault.name, longest=fault.longest)
    load.place(stage.hosts)
    kills, taken = stage.kills, len(stage.hosts.taken)
    with Source(stage.port, load.posts(), connections=8, rate=fault.rate) as source:
        stage.until(lambda: len(source.accepted) > 20, "a first few messages")
        tried = fault.happens(stage, times)
        since = time.monotonic()
        source.enough()
        stage.ready()
        source.wait(30)
    until_done(stage)
    recovered = time.monotonic() - since
    verdict = check(stage.store, stage.hosts, [source], taken)
    return Row(fault, tried, stage.kills - kills, verdict, recovered)


def until_done(stage: Stage, seconds: float = _RECOVERY) -> None:
    """Wait until nothing waits, and all events have had their consequences."""
    stage.until(lambda: done(stage), lambda: f"left: {stage.left()}", seconds)


def done(stage: Stage) -> bool:
    """Nothing is queued, no event is still to be applied, and no content is left."""
    prefix = "relay:{p00}:"
    if int(stage.store.command("HLEN", prefix + "deliveries")):
        return False
    last = stage.store.command("XREVRANGE", prefix + "events", "+", "-", "COUNT", 1)
    cursor = stage.store.command("HGET", prefix + "cursors", "dsn")
    if last and last[0][0] != cursor:
        return False
    # A DSN may have been admitted between the two looks.
    return not int(stage.store.command("HLEN", prefix + "deliveries")) and not stage.left()
