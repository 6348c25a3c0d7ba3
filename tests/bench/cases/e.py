"""Case E: a backlog, as a destination is away, and its drain when it is back.

The destination refuses connections for a minute from the first message on. How often it was tried
meanwhile is the kernel's count of connections that could not be opened. Relay tries it as often as
a window holds at first, within seconds, and then leaves it alone for a minute.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.figures import Bar, Case, Figures, Load
from tests.bench.sink import wait_for
from tests.bench.stage import Stage, of_arrivals, of_injection, per
from tests.bench.systems.relay import Relay

#: Seconds for which the destination refuses, and for what was accepted to come to rest.
_AWAY, _REST = 61.0, 3.0
_TCP = Path("/proc/net/snmp")


def backlog(stage: Stage) -> Figures:
    """Queue the load while nobody listens at the destination, then drain it."""
    load = stage.load
    with stage.running() as system:
        before, refused, began = system.stored(), _refused(), time.monotonic()
        measured = stage.measured()
        injected = stage.inject()
        accepting = measured.end(injected.accepted)
        time.sleep(max(_AWAY - (time.monotonic() - began), _REST))
        stored = per(system.stored() - before, injected.accepted)
        # What Relay stores has its trace header; a content's length is what is left to be sent.
        content = system.content_octets() if isinstance(system, Relay) else load.octets
        tried = (_refused() - refused) / (time.monotonic() - began) * 60
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
        "content_octets": content,
        "overhead_octets": round(stored - content, 1),
        "tried_per_minute": round(tried, 1),
        "accept_cpu_ms": accepting["cpu_ms"],
        "first_delivery_s": round((live.first_ns[0] - opened_ns) / 1e9, 2),
        "delivered_per_s": round(live.recipients[0] / took, 1) if took > 0 else 0.0,
        **draining,
        **counters,
        **of_arrivals(load, injected, arrivals),
        "durability": durability,
    }


def _refused() -> int:
    """Connections of this network namespace that could not be opened so far."""
    names, values = (
        line.split() for line in _TCP.read_text(encoding="ascii").splitlines() if line[:4] == "Tcp:"
    )
    return int(values[names.index("AttemptFails")])


CASE = Case(
    name="E",
    title="50,000 queued while the destination refuses, then drained",
    load=Load(messages=50_000),
    script=backlog,
    bars=(
        Bar("overhead_octets", "at most", 700),
        Bar("delivered_per_s", "at least", 5.0, "postfix"),
        Bar("tried_per_minute", "at most", 5.0),
    ),
    limit=120.0,
    shown={
        "stored_octets": "octets stored a message",
        "overhead_octets": "of them not content",
        "tried_per_minute": "tries a minute",
        "first_delivery_s": "s to the first",
    },
)
