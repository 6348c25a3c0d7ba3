"""Case F: B, and a hundred of the thousand domains tarpit: more than most relays have slots.

Relay gets wave after wave of mail for three minutes, longer than the tarpits take, so that what it
holds for them has its leases renewed, and what waits for them grows. Before that, waves without
tarpits show what a wave takes. Another system gets one wave.

A shared machine is faster in one minute than in the next. How much so is seen by the CPU that the
injector takes, whose work is the same in each wave; Relay's own is told beside it.
"""

from __future__ import annotations

import time
from statistics import median

from celery import Celery
from msgspec import Struct, structs

from tests.bench.figures import Bar, Case, Delay, Figures, Load
from tests.bench.injector import inject
from tests.bench.sink import AnySink, Arrival, wait_for
from tests.bench.stage import Stage, relayed
from tests.bench.systems.relay import Relay

#: Waves without tarpits, of which the first is cold and not compared with.
_CALM = 4
_TIME = 180.0
_MINUTE = 60.0
#: Numbers of messages from one wave to the next.
_STEP = 1_000_000
#: Seconds that a worker may take to say which tasks it runs.
_PATIENCE = 2.0


class _Wave(Struct, frozen=True):
    """How long the healthy domains took, what CPU that cost, and how the worker was right after."""

    began_s: float
    seconds: float
    through: bool
    cpu_s: float
    injector_s: float
    worker_octets: int
    attempts: int
    tasks: int


def kept_coming(stage: Stage) -> Figures:
    """Waves for three minutes; one for a system that is not Relay."""
    if not isinstance(stage.system, Relay):
        return relayed(stage)
    with stage.sink() as opened, stage.running():
        calm_load = structs.replace(stage.load, tarpits=0)
        calm = [_wave(stage, stage.system, opened, calm_load, k) for k in range(_CALM)]
        before = opened.live().recipients[0]
        measured, began = stage.measured(), time.monotonic()
        waves: list[_Wave] = []
        while time.monotonic() - began < _TIME:
            number = _CALM + len(waves)
            waves.append(_wave(stage, stage.system, opened, stage.load, number))
        live = opened.live()
        figures = measured.end(live.recipients[0] - before) | stage.system.counters()
        durability = stage.system.durability
        arrivals = opened.stop()
    return {
        "through": all(one.through for one in calm + waves),
        "delivered": live.recipients[0] - before,
        "delivered_slow": sum(live.recipients[1:]),
        **figures,
        **_checked(stage.load, len(waves), arrivals),
        **_times(calm, waves, began),
        **_levels(waves, began),
        "durability": durability,
    }


def _wave(stage: Stage, system: Relay, opened: AnySink, load: Load, number: int) -> _Wave:
    """Send a load and wait until its healthy domains have theirs."""
    due = opened.live().recipients[0] + load.due
    began, cpu = time.monotonic(), system.group.cpu()
    injected = inject(load, stage.sandbox.submission, limit=stage.case.limit, first=number * _STEP)
    through = wait_for(opened, due, stage.case.limit) and injected.failed == 0
    seconds = (opened.live().last_ns[0] - injected.began_ns) / 1e9
    cpu = system.group.cpu() - cpu
    worker = [one.rss for one in system.group.members() if _is_worker(system, one.command)]
    return _Wave(
        began_s=began,
        seconds=seconds,
        through=through,
        cpu_s=cpu,
        injector_s=injected.cpu_s,
        worker_octets=sum(worker),
        attempts=system.open_attempts(),
        tasks=_tasks(system),
    )


def _is_worker(system: Relay, command: str) -> bool:
    return system.process_name(command) == "worker"


def _tasks(system: Relay) -> int:
    """Celery tasks that the workers run now."""
    app = Celery(broker=f"redis+socket://{system.data / 'broker.sock'}")
    active = app.control.inspect(timeout=_PATIENCE, limit=system.workers).active()
    app.close()
    return sum(map(len, (active or {}).values()))


def _checked(load: Load, waves: int, arrivals: list[Arrival]) -> Figures:
    """Each id of a healthy domain exactly once, and nothing twice."""
    seen = {(one.message, one.recipient) for one in arrivals}
    healthy = sum(one.listener == 0 for one in arrivals)
    due = _CALM * load.messages + waves * load.due
    doubled = len(arrivals) - len(seen)
    return {"checked": "ids", "missing": due - (healthy - doubled), "doubled": doubled}


def _times(calm: list[_Wave], waves: list[_Wave], began: float) -> Figures:
    figures: Figures = {
        "waves": len(waves),
        "healthy_s": round(median(one.seconds for one in waves), 2),
        "slowest_s": round(max(one.seconds for one in waves), 2),
    }
    for name, worst in (("seconds", "worst_minute"), ("cpu_s", "cpu"), ("injector_s", "injector")):
        warm = median(getattr(one, name) for one in calm[1:])
        minutes = [median(getattr(one, name) for one in some) for some in _by_minute(waves, began)]
        figures[f"calm_{name}"] = round(warm, 2)
        figures[f"minutes_{name}"] = [round(one, 2) for one in minutes]
        figures[worst] = round(max(minutes) / warm, 3)
    return figures


def _levels(waves: list[_Wave], began: float) -> Figures:
    """What the worker held, at most, in each minute; and how the third compares with the second."""
    minutes = _by_minute(waves, began)
    figures: Figures = {}
    for name in ("worker_octets", "attempts", "tasks"):
        most = [max(getattr(one, name) for one in some) for some in minutes]
        figures[f"{name}_by_minute"] = most
        figures[f"{name}_growth"] = round(most[-1] / max(most[-2], 1), 3)
    figures["worker_mb"] = figures["worker_octets_by_minute"][-1] >> 20
    figures["open_attempts"] = figures["attempts_by_minute"][-1]
    figures["open_tasks"] = figures["tasks_by_minute"][-1]
    return figures


def _by_minute(waves: list[_Wave], began: float) -> list[list[_Wave]]:
    """The waves that began in each minute; three of them, of which none is empty."""
    last = int(_TIME / _MINUTE) - 1
    minutes: list[list[_Wave]] = [[] for _ in range(last + 1)]
    for one in waves:
        minutes[min(int((one.began_s - began) / _MINUTE), last)].append(one)
    return [some for some in minutes if some] or [[]]


CASE = Case(
    name="F",
    title="B with 100 tarpits (30 s at DATA), wave after wave for three minutes",
    load=Load(messages=30_000, domains=1000, tarpits=100),
    script=kept_coming,
    tarpit=Delay(30.0, "data"),
    bars=(
        Bar("worst_minute", "at most", 1.15),
        Bar("healthy_s", "at most", 1.15, "B"),
        Bar("worker_octets_growth", "at most", 1.1),
        Bar("attempts_growth", "at most", 1.1),
        Bar("open_tasks", "at most", 20),
    ),
    shown={
        "calm_seconds": "s a wave without tarpits",
        "slowest_s": "s slowest wave",
        "worst_minute": "worst minute to calm",
        "cpu": "Relay's CPU, worst to calm",
        "injector": "injector's CPU, worst to calm",
        "worker_mb": "worker MB",
        "open_attempts": "attempts open",
        "open_tasks": "tasks open",
    },
)
