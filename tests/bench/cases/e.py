"""Case E: a backlog, as a destination is away, and its drain when it is back."""

from __future__ import annotations

import time

from tests.bench.figures import Bar, Case, Figures, Load
from tests.bench.sink import wait_for
from tests.bench.stage import Stage, of_arrivals, of_injection, per

#: Seconds for what was accepted to come to rest in the queue.
_REST = 3.0
_OCTETS = 4096


def backlog(stage: Stage) -> Figures:
    """Queue the load while nobody listens at the destination, then drain it."""
    load = stage.load
    with stage.running() as system:
        before = system.stored()
        measured = stage.measured()
        injected = stage.inject()
        accepting = measured.end(injected.accepted)
        time.sleep(_REST)
        stored = per(system.stored() - before, injected.accepted)
        with stage.sink() as opened:
            measured, opened_ns = stage.measured(), time.monotonic_ns()
            system.destination_is_back()
            through = wait_for(opened, load.due, stage.case.limit)
            live = opened.live()
            draining = measured.end(live.recipients[0])
            counters, durability = system.counters(), system.durability
            arrivals = opened.stop()
    took = (live.last_ns[0] - live.first_ns[0]) / 1e9
    return {
        **of_injection(injected),
        "through": through,
        "delivered": live.recipients[0],
        "stored_octets": stored,
        "accept_cpu_ms": accepting["cpu_ms"],
        "first_delivery_s": round((live.first_ns[0] - opened_ns) / 1e9, 2),
        "delivered_per_s": round(live.recipients[0] / took, 1) if took > 0 else 0.0,
        **draining,
        **counters,
        **of_arrivals(load, injected, arrivals),
        "durability": durability,
    }


CASE = Case(
    name="E",
    title="50,000 queued while the destination refuses, then drained",
    load=Load(messages=50_000),
    script=backlog,
    # So that a run need not wait a minute for the breaker: it tries again after five seconds.
    relay_settings='\n[retry]\nfirst = "5s"\n',
    bars=(
        Bar("stored_octets", "at most", _OCTETS + 700),
        Bar("delivered_per_s", "at least", 5.0, "postfix"),
    ),
    limit=120.0,
    shown={"stored_octets": "octets stored per message", "first_delivery_s": "s to the first"},
)
