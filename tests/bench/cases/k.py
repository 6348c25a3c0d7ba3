"""Case K: Postfix's own test of its feedback: a host that takes five sessions, a limit of twenty.

Beyond five sessions the host answers 421. Postfix's SCHEDULER_README tells what share of mail its
kinds of feedback defer there: 16.5 % the best of them, with 1/N.
"""

from __future__ import annotations

import time

from tests.bench.figures import Bar, Case, Delay, Figures, Load
from tests.bench.sink import AnySink, Listener, sink
from tests.bench.stage import Stage, of_arrivals, of_delivery, of_injection
from tests.bench.systems.base import System

_MOST = 5
#: Seconds between two looks.
_LOOK = 0.1


def limited(stage: Stage) -> Figures:
    """Inject the load and wait until each message was either delivered or deferred."""
    load, sandbox = stage.load, stage.sandbox
    listener = Listener(sandbox.healthy, sandbox.smtp_port, stage.case.healthy, most=_MOST)
    with sink(stage.place, [listener]) as opened, stage.running() as system:
        measured = stage.measured()
        injected = stage.inject()
        attempted = _wait(system, opened, load.messages, stage.case.limit)
        live = opened.live()
        deferred = system.deferred()
        figures = measured.end(live.recipients[0])
        figures |= system.counters()
        durability = system.durability
    return {
        **of_injection(injected),
        **of_delivery(injected, live, through=attempted),
        **figures,
        **of_arrivals(load, injected, opened.stop()),
        # What was deferred is not lost: it waits for its next attempt when the run ends.
        "missing": max(load.messages - live.recipients[0] - deferred, 0),
        "deferred_percent": round(deferred / load.messages * 100, 2),
        "refused_sessions": live.refused,
        "durability": durability,
    }


def _wait(system: System, opened: AnySink, messages: int, seconds: float) -> bool:
    """Wait until all messages were attempted; whether they were."""
    deadline = time.monotonic() + seconds
    while opened.live().recipients[0] + system.deferred() < messages:
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True


CASE = Case(
    name="K",
    title="a host that takes 5 sessions (100 ms at DATA) and answers 421 to more, limit 20",
    load=Load(messages=1500),
    script=limited,
    healthy=Delay(0.1, "data"),
    relay_settings="\n[delivery.concurrency]\nlimit = 20\n",
    postfix_settings="smtp_destination_concurrency_limit = 20\n",
    bars=(Bar("deferred_percent", "at most", 16.5),),
    systems=("relay", "postfix"),
    shown={"deferred_percent": "% deferred", "refused_sessions": "sessions refused"},
)
