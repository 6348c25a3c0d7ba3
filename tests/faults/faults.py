"""The catalogue: every fault by its name, what it does, and how often a full run does it."""

from __future__ import annotations

import random
import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.faults.proxy import Point, Proxy
from tests.faults.stage import LEASE_S, LONGEST_S, Stage
from tests.support.system import freeze, thaw

#: Does a fault so often; how often it came to it.
Happening = Callable[[Stage, int], int]

#: Seconds that a point may take to be passed; some are rare.
_PATIENCE = 20.0


@dataclass(frozen=True)
class Fault:
    """`times`: in a full run. One that is `apart` needs a system of its own, by `variables`."""

    name: str
    words: str
    happens: Happening
    times: int
    #: Seconds of the longest transactions of its load, and messages a second.
    longest: float = LONGEST_S
    rate: float = 40.0
    kills: bool = False
    variables: dict[str, str] = field(default_factory=dict)


def _kill(role: str, *points: Point, most_skipped: int = 3) -> Happening:
    """kill -9 at these points in turn."""

    def happens(stage: Stage, times: int) -> int:
        return sum(
            stage.kill_at(
                role,
                points[n % len(points)],
                skip=random.randint(0, most_skipped),
                seconds=_PATIENCE,
            )
            for n in range(times)
        )

    return happens


def _kill_at_random(stage: Stage, times: int) -> int:
    for _ in range(times):
        time.sleep(random.random())
        intake = [*stage.alive("smtp"), *stage.alive("http")]
        roles = [*stage.alive(), *stage.alive(), *intake]
        stage.kill_one(random.choice(roles))
    return times


def _kill_all_workers(stage: Stage, times: int) -> int:
    for _ in range(times):
        time.sleep(1 + random.random())
        for worker in stage.alive():
            worker.kill()
            stage.kills += 1
        stage.ready()
    return times * stage.workers_wanted


def _restart_store(stage: Stage, times: int) -> int:
    for _ in range(times):
        time.sleep(1 + random.random())
        stage.store.restart()
    return times


def _kill_store(stage: Stage, times: int) -> int:
    for _ in range(times):
        time.sleep(0.5 + random.random())
        stage.store.kill()
        stage.kills += 1
        stage.store.start()
    return times


def _store_away(stage: Stage, times: int) -> int:
    for _ in range(times):
        time.sleep(1)
        stage.store.kill()
        stage.kills += 1
        time.sleep(2 * LEASE_S + 1)
        stage.store.start()
    return times


def _kill_broker(stage: Stage, times: int) -> int:
    for _ in range(times):
        time.sleep(0.5 + random.random())
        stage.broker.kill()
        stage.kills += 1
        time.sleep(random.random())
        stage.broker.start()
    return times


def _proxies(stage: Stage) -> list[Proxy]:
    running = [*stage.alive(), *stage.alive("smtp"), *stage.alive("http")]
    wires = [*(stage.wire(process) for process in running), stage.service]
    return [proxy for wire in wires for proxy in (wire.store, wire.host) if proxy is not None]


def _cut(stage: Stage, times: int) -> int:
    for _ in range(times):
        time.sleep(random.random() / 4)
        random.choice(_proxies(stage)).cut()
    return times


def _stall(stage: Stage, times: int) -> int:
    """Nothing goes through, for less than a lease and for more."""
    for n in range(times):
        proxy = random.choice(_proxies(stage))
        proxy.stall(True)
        time.sleep(LEASE_S * (0.4 if n % 2 else 1.6))
        proxy.stall(False)
    return times


def _freeze(stage: Stage, times: int) -> int:
    for _ in range(times):
        time.sleep(0.5 + random.random())
        worker = random.choice(stage.alive())
        freeze(worker)
        time.sleep(2.5 * LEASE_S)
        thaw(worker)
    return times


#: Every script that a worker says often enough, and those of reception.
_SAID = (
    ("worker", "lease"), ("worker", "settle"), ("worker", "extend"), ("worker", "enter"),
    ("worker", "leave"), ("worker", "promote"), ("worker", "ring"), ("worker", "reclaim"),
    ("worker", "admit"), ("worker", "close"), ("worker", "advance"), ("worker", "role"),
    ("worker", "trim"), ("smtp", "admit"), ("http", "admit"), ("service", "admit"),
)  # fmt: skip


def _lose_answers(stage: Stage, times: int) -> int:
    came = 0
    for n in range(times):
        role, script = _SAID[n % len(_SAID)]
        came += stage.drop_answer(role, script, seconds=_PATIENCE)
    return came


def refused(stage: Stage) -> int:
    """With what code a message is refused that nobody misses; 250 where it is not."""
    with smtplib.SMTP("127.0.0.1", stage.port, timeout=30) as client:
        try:
            client.sendmail("a@origin.test", ["refused@away.test"], b"Subject: x\r\n\r\nx\r\n")
        except smtplib.SMTPRecipientsRefused as error:
            return next(code for code, _ in error.recipients.values())
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
    return 250


@contextmanager
def full(stage: Stage) -> Iterator[None]:
    """As long as this lasts, the store is at its memory limit."""
    stage.store.command("CONFIG", "SET", "maxmemory", "1mb")
    try:
        yield
    finally:
        stage.store.command("CONFIG", "SET", "maxmemory", "0")


def _fill_memory(stage: Stage, times: int) -> int:
    for _ in range(times):
        time.sleep(1)
        with full(stage):
            stage.until(lambda: refused(stage) == 452, "452 while the store is full")
            stage.until(lambda: not stage.left().get("deliveries"), "deliveries go on meanwhile")
    return times


def _stop_politely(stage: Stage, times: int) -> int:
    """SIGTERM to one worker after the other, each replaced first."""
    for _ in range(times):
        old = stage.alive()[0]
        stage.start_worker()
        old.terminate()
        assert old.wait(15) == 0
        stage.workers = stage.alive()
    return times


def _points(script: str) -> tuple[Point, Point]:
    return (script, "before"), (script, "after")


KILLS = (
    Fault("admit", "kill -9 of reception before and after the store answers `admit`",
          _kill("smtp", *_points("admit"), most_skipped=20), 16),
    Fault("http", "kill -9 of the HTTP API before and after the store answers `admit`",
          _kill("http", *_points("admit"), most_skipped=5), 8),
    Fault("lease", "kill -9 of a worker before and after the answer to `lease`",
          _kill("worker", *_points("lease")), 12),
    Fault("content", "kill -9 of a worker in the midst of the content",
          _kill("worker", ("content", "within")), 12),
    Fault("dot", "kill -9 of a worker before the final dot, and between it and its reply",
          _kill("worker", ("dot", "before"), ("dot", "after"), most_skipped=10), 24),
    Fault("settle", "kill -9 of a worker before and after `settle` is answered",
          _kill("worker", *_points("settle")), 16),
    Fault("projector", "kill -9 inside the projector: before and after a DSN is admitted, its "
          "claim is closed, and the cursor is advanced",
          _kill("worker", *_points("admit"), *_points("close"), *_points("advance"),
                most_skipped=0), 24),
    Fault("pump", "kill -9 in the pump: before and after `promote`, `ring`, `reclaim`",
          _kill("worker", *_points("promote"), *_points("ring"), *_points("reclaim")), 18),
    Fault("path", "kill -9 before and after `enter`, `leave`, `extend`, `begin`",
          _kill("worker", *_points("enter"), *_points("leave"), *_points("extend"),
                *_points("begin"), most_skipped=0), 16),
    Fault("random", "kill -9 of any process, at random", _kill_at_random, 48),
    Fault("fleet", "kill -9 of all workers at once", _kill_all_workers, 4),
)  # fmt: skip

OTHERS = (
    Fault("restart", "the store is stopped and started", _restart_store, 4),
    Fault("store", "kill -9 of the store", _kill_store, 8),
    Fault("away", "the store is away longer than a lease", _store_away, 2),
    Fault("broker", "kill -9 of the broker", _kill_broker, 6),
    Fault("cut", "connections to the store and to hosts are cut", _cut, 60),
    Fault("stall", "connections stand still, for less than a lease and for more", _stall, 8),
    Fault("answers", "the answer to a script is lost after it ran, for each script",
          _lose_answers, 2 * len(_SAID)),
    Fault("memory", "the store is at its memory limit", _fill_memory, 2),
    Fault("frozen", "a worker is stopped (SIGSTOP) longer than its lease, and goes on",
          _freeze, 4),
    Fault("rolling", "SIGTERM to each worker in turn, under load", _stop_politely, 6),
)  # fmt: skip

CATALOGUE = {fault.name: fault for fault in (*KILLS, *OTHERS)}
