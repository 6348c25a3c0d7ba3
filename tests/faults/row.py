"""A row of the table: a load, a fault in the midst of it, and what became of the mail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from tests.faults.faults import Fault
from tests.faults.ledger import Load, Verdict, check
from tests.faults.overheard import Heard
from tests.faults.services import Services, ways
from tests.faults.stage import Stage
from tests.support.producer import Producer
from tests.support.source import Source

#: Seconds for all that was accepted to come to its end after the last fault.
_RECOVERY = 90.0
#: Of a load what comes by the Python client.
_OF_SERVICES = 0.3


@dataclass
class Row:
    """What is written down of a fault."""

    fault: Fault
    tried: int
    kills: int
    verdict: Verdict
    #: Seconds from the last fault until nothing that was accepted before it waited any more.
    recovered: float
    #: What the store heard meanwhile, where somebody listened.
    heard: Heard = field(default_factory=Heard)


def row(stage: Stage, fault: Fault, times: int, name: str = "") -> Row:
    """Load, fault, recovery, check."""
    load = Load(name or fault.name, longest=fault.longest)
    load.place(stage.hosts)
    kills, taken = stage.kills, len(stage.hosts.taken)
    with producing(stage, load, fault.rate) as producers:
        for one in producers:
            stage.until(lambda one=one: len(one.accepted) > 12, "a first few messages")  # type: ignore[misc]
        tried = fault.happens(stage, times)
        since = time.monotonic()
        for one in producers:
            one.enough()
        stage.ready()
        for one in producers:
            one.wait(30)
    until_done(stage)
    recovered = time.monotonic() - since
    verdict = check(stage.store, stage.hosts, producers, taken)
    return Row(fault, tried, stage.kills - kills, verdict, recovered)


@contextmanager
def producing(stage: Stage, load: Load, rate: float) -> Iterator[tuple[Producer, ...]]:
    """Clients over SMTP, and services by the Python client, with messages of their own.

    `rate`: of all together, messages a second.
    """
    share = _OF_SERVICES if stage.services else 0.0
    with ExitStack() as stack:
        producers: list[Producer] = [
            Source(stage.port, load.posts(), connections=8, rate=rate * (1 - share))
        ]
        if share:
            posts = replace(load, kind="service").posts()
            producers.append(Services(ways(stage), posts, rate=rate * share))
        yield tuple(stack.enter_context(one) for one in producers)


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
