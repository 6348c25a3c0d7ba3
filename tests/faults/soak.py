"""`make soak`: a mixed load with faults at random, for a chosen time; prints leaks and the ledger.

Leases last 30 s and the longest transactions 90 s, as they do by default.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

from tests.faults.ledger import Load, check
from tests.faults.row import done, producing
from tests.faults.stage import Stage
from tests.support.site import Site
from tests.support.system import Process, freeze, thaw

_REAL = {
    "RELAY_LEASE__SECONDS": "30s",
    "RELAY_LEASE__DEADLINE": "10s",
    "RELAY_RETRY__FIRST": "5s",
    "RELAY_RETRY__LONGEST": "60s",
    "RELAY_WORKER__GRACE": "100s",
}
_LONGEST_S = 90.0
#: Seconds between two faults, and between two lines of figures.
_APART = (10.0, 40.0)
_LOOK = 60.0


@dataclass
class Figures:
    """What must not grow with time."""

    minutes: float
    #: Of the oldest process of each kind: MiB, and open descriptors.
    smtp_mib: float
    smtp_descriptors: int
    worker_mib: float
    worker_descriptors: int
    http_mib: float
    http_descriptors: int
    store_mib: float
    #: Keys of the store beside records and idempotency keys, which are kept for a day; its
    #: connections.
    keys: int
    records: int
    connections: int

    def __str__(self) -> str:
        return (
            f"{self.minutes:5.1f} min  "
            f"smtp {self.smtp_mib:5.1f} MiB {self.smtp_descriptors:3d} fd  "
            f"worker {self.worker_mib:5.1f} MiB {self.worker_descriptors:3d} fd  "
            f"http {self.http_mib:5.1f} MiB {self.http_descriptors:3d} fd  "
            f"store {self.store_mib:5.1f} MiB {self.keys:5d} keys {self.records:6d} records "
            f"{self.connections:3d} connections"
        )


def figures(stage: Stage, begun: float) -> Figures:
    """Look."""
    smtp, worker, http = (_used(stage.alive(role)[0]) for role in ("smtp", "worker", "http"))
    records = len(stage.keys("m:*")) + len(stage.keys("i:*"))
    info = stage.store.command("INFO", "clients").decode()
    clients = next(line for line in info.splitlines() if line.startswith("connected_clients"))
    assert stage.store.process is not None
    return Figures(
        (time.monotonic() - begun) / 60,
        *smtp,
        *worker,
        *http,
        psutil.Process(stage.store.process.pid).memory_info().rss / 2**20,
        int(stage.store.command("DBSIZE")) - records,
        records,
        int(clients.partition(":")[2]),
    )


def _used(process: Process) -> tuple[float, int]:
    one = psutil.Process(process.process.pid)
    return one.memory_info().rss / 2**20, one.num_fds()


def _kill_worker(stage: Stage) -> None:
    # The oldest one lives, so that it shows what grows.
    stage.kill_one(stage.alive()[-1])
    stage.ready()


def _kill_store(stage: Stage) -> None:
    stage.store.kill()
    stage.kills += 1
    time.sleep(random.random() * 5)
    stage.store.start()


def _kill_broker(stage: Stage) -> None:
    stage.broker.kill()
    stage.kills += 1
    time.sleep(random.random() * 5)
    stage.broker.start()


def _cut(stage: Stage) -> None:
    wires = [stage.wire(process) for process in (*stage.alive(), *stage.alive("smtp"))]
    for wire in random.sample(wires, 2):
        wire.store.cut()
        if wire.host is not None:
            wire.host.cut()


def _stall(stage: Stage) -> None:
    wire = stage.wire(random.choice(stage.alive()))
    wire.store.stall(True)
    time.sleep(random.choice((5, 35)))
    wire.store.stall(False)


def _freeze(stage: Stage) -> None:
    worker = stage.alive()[-1]
    freeze(worker)
    time.sleep(45)
    thaw(worker)


def _term(stage: Stage) -> None:
    old = stage.alive()[-1]
    old.terminate()
    assert old.wait(130) == 0
    stage.ready()


def _at_the_dot(stage: Stage) -> None:
    stage.kill_at("worker", ("dot", "after"), skip=random.randint(0, 5))
    stage.ready()


FAULTS: tuple[Callable[[Stage], None], ...] = (
    _kill_worker, _kill_worker, _at_the_dot, _at_the_dot, _kill_store, _kill_broker, _cut, _stall,
    _freeze, _term,
)  # fmt: skip


def soak(minutes: float, rate: float) -> int:
    """Run it; 0 where the ledger is right."""
    begun = time.monotonic()
    load = Load("soak", longest=_LONGEST_S)
    with Site() as site, Stage(site, _REAL) as stage:
        load.place(site)
        with producing(stage, load, rate) as producers:
            happened = _go_on(stage, begun, begun + minutes * 60)
            for one in producers:
                one.enough()
            stage.ready()
            for one in producers:
                one.wait(120)
        since = time.monotonic()
        stage.until(lambda: done(stage), lambda: f"left: {stage.left()}", 900)
        time.sleep(5)
        print(figures(stage, begun), flush=True)
        services = len(producers[1].accepted)
        verdict = check(stage.store, site, producers)
    print(
        f"{sum(happened.values())} faults: {happened}; {stage.kills} processes killed with kill -9"
    )
    print(
        f"accepted {verdict.accepted} ({services} by the Python client), "
        f"delivered {verdict.delivered}, bounced {verdict.bounced}, DSNs {verdict.dsns}, "
        f"lost {verdict.lost}, doubled {verdict.doubled}, possible doubles counted "
        f"{verdict.possible}, submitted again without an answer {verdict.resubmitted}, "
        f"at rest {time.monotonic() - since:.0f} s after the last submission"
    )
    print("\n".join(verdict.faults))
    return 1 if verdict.faults else 0


def _go_on(stage: Stage, begun: float, ends: float) -> dict[str, int]:
    happened: dict[str, int] = {}
    look_at = begun + _LOOK
    fault_at = begun + 30.0
    while (moment := time.monotonic()) < ends:
        if moment >= look_at:
            print(figures(stage, begun), flush=True)
            look_at = moment + _LOOK
        if moment >= fault_at:
            fault = random.choice(FAULTS)
            name = fault.__name__.strip("_").replace("_", " ")
            happened[name] = happened.get(name, 0) + 1
            fault(stage)
            fault_at = time.monotonic() + random.uniform(*_APART)
        time.sleep(0.2)
    return happened


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=30.0)
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second")
    arguments = parser.parse_args()
    os.nice(5)
    return soak(arguments.minutes, arguments.rate)


if __name__ == "__main__":
    sys.exit(main())
