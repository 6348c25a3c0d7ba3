"""Case J: nothing to do, while ten thousand domains rest because nobody listens at their hosts.

Each domain is a site of its own. What is measured is a minute in which no rest ends; afterwards the
rests end, each domain is tried once, and what that took is told for each domain.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from tests.bench.figures import Bar, Case, Figures, Load
from tests.bench.stage import Stage, of_injection
from tests.bench.systems.relay import Relay

#: Seconds that domains rest the first time (then twice as long), and for which it is measured.
_REST = 180
_IDLE = 60.0
#: A queue that was rung is rung again after ten seconds: what rests, rests longer than that.
_RUNG = 11.0
#: Seconds until all domains rest, at most; and between two looks.
_PATIENCE = 200.0
_LOOK = 0.2
_WAKE = "relay:{p00}:wake"


def parked(stage: Stage) -> Figures:
    """Have all domains tried in vain, then wait a minute, then have them tried again."""
    domains = stage.load.domains
    with stage.running() as system:
        if not isinstance(system, Relay):
            raise TypeError("only Relay parks domains")
        injected = stage.inject()
        with system.store() as store:
            all_rest = _wait(store, domains, beyond=lambda: time.time() + _RUNG)
            measured = stage.measured()
            time.sleep(_IDLE)
            idle = measured.end(1)
            resting = _resting(store, time.time() + _RUNG)
            measured, until = stage.measured(), time.time() + _REST
            tried = _wait(store, domains, beyond=lambda: until)
            probes = measured.end(domains)
        counters, durability = system.counters(), system.durability
    return {
        **of_injection(injected),
        "through": all_rest and tried,
        "resting": resting,
        **idle,
        "idle_percent": round(idle["cpu_ms"] / _IDLE / 10, 3),
        "probe_cpu_ms": probes["cpu_ms"],
        **counters,
        "durability": durability,
    }


def _wait(store: redis.Redis, domains: int, *, beyond: Callable[[], float]) -> bool:
    """Wait until all domains rest beyond a Unix time; whether they do."""
    deadline = time.monotonic() + _PATIENCE
    while _resting(store, beyond()) < domains:
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True


def _resting(store: redis.Redis, beyond: float) -> int:
    """How many domains rest beyond a Unix time."""
    return int(store.zcount(_WAKE, beyond * 1000, "+inf"))


CASE = Case(
    name="J",
    title="idle for 60 s while 10,000 domains rest",
    load=Load(messages=10_000, octets=1024, domains=10_000),
    script=parked,
    relay_settings=f'\n[retry]\nfirst = "{_REST}s"\n',
    bars=(Bar("idle_percent", "at most", 1.0),),
    systems=("relay",),
    shown={
        "resting": "domains at rest",
        "idle_percent": "% of a core",
        "probe_cpu_ms": "CPU ms a probe",
    },
)
