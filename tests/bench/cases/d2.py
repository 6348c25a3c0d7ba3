"""Case D2: a bulk of 100,000 messages to one domain and fifty tarpits; does the other mail wait?

The other mail comes at 20 messages a second, half of it from other tenants to the bulk's own
domain. It is timed from when it was due to its first attempt, when its MAIL reached the sink: first
alone, then beside bulk and tarpits.
Both is done with destinations that answer at once, where the bulk takes all of the machine that it
can get, and with ones that take 100 ms, where the bulk is held up by its destination.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from tests.bench.figures import Bar, Case, Delay, Figures, Load
from tests.bench.injector import Injected, inject
from tests.bench.sink import AnySink, Arrival, Listener, sink, wait_for
from tests.bench.stage import Stage, of_injection, quantile
from tests.bench.systems.relay import Relay
from tests.bench.trickle import trickle

#: Other mail a second, and for how many seconds alone, and beside a bulk that does not get through.
_RATE, _TIME = 20.0, 45.0
_TARPITS = Load(messages=1000, domains=50, tarpits=50)
#: The first numbers of tarpits' messages and of the other mail; the bulk's begin at 0.
_TARPITTED, _OTHERS = 5_000_000, 10_000_000
#: Seconds for the last of the other mail to arrive.
_TRAIL = 5.0
_SLOW = Delay(0.1, "data")
_SUMS = ("missing", "doubled", "accept_failed", "lost_leases", "possible_doubles")


def crowded(stage: Stage) -> Figures:
    """With destinations that answer at once, then with slow ones."""
    figures: Figures = {"through": True}
    found = {"fast": _compared(stage, None), "slow": _compared(stage, _SLOW)}
    for name, one in found.items():
        figures |= {f"{key}_{name}": value for key, value in one.items()}
    for key in _SUMS:
        figures[key] = sum(one.get(key) or 0 for one in found.values())
    figures["foreign_cpu"] = max(one["foreign_cpu"] for one in found.values())
    return figures


def _compared(stage: Stage, delay: Delay | None) -> Figures:
    """The other mail alone, then beside bulk and tarpits."""
    sandbox, system, limit = stage.sandbox, stage.system, stage.case.limit
    if not isinstance(system, Relay):
        raise TypeError("only Relay has tenants")
    listeners = [
        Listener(sandbox.healthy, sandbox.smtp_port, delay),
        Listener(sandbox.slow, sandbox.smtp_port, stage.case.tarpit),
    ]
    with sink(stage.place, listeners) as opened, stage.running():
        measured = stage.measured()
        alone = trickle(system.data, _OTHERS, _RATE, _for(_TIME))
        wait_for(opened, alone, _TRAIL)
        inject(_TARPITS, sandbox.submission, limit=limit, first=_TARPITTED)
        bulk = _Bulk(stage)
        began = time.monotonic_ns()
        goes_on = _for(_TIME) if delay else _until(opened, alone + stage.load.messages, limit)
        beside = trickle(system.data, _OTHERS + alone, _RATE, goes_on)
        ended = time.monotonic_ns()
        injected = bulk.end()
        wait_for(opened, alone + beside + stage.load.messages, _TRAIL)
        figures = measured.end(opened.live().recipients[0]) | system.counters()
        arrivals = opened.stop()
    others = {one.message for one in arrivals if one.message >= _OTHERS}
    bulked = {one.message for one in arrivals if one.message < _TARPITTED}
    return {
        **of_injection(injected),
        **figures,
        "bulk_delivered": len(bulked),
        "beside_s": round((ended - began) / 1e9, 1),
        # A bulk that its destination holds up is not through when time is up.
        "missing": alone
        + beside
        - len(others)
        + (0 if delay else stage.load.messages - len(bulked)),
        "doubled": len(arrivals) - len({one.message for one in arrivals}),
        **_waits([one for one in arrivals if one.message in others], began, ended),
    }


class _Bulk:
    """The bulk's sender, beside this thread."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._sent: list[Injected] = []
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        self._sent.append(self._stage.inject())

    def end(self) -> Injected:
        """What was accepted, when it is all sent."""
        self._thread.join()
        return self._sent[0]


def _for(seconds: float) -> Callable[[], bool]:
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() < deadline


def _until(opened: AnySink, arrived: int, seconds: float) -> Callable[[], bool]:
    in_time = _for(seconds)
    return lambda: opened.live().recipients[0] < arrived and in_time()


def _waits(others: Sequence[Arrival], began: int, ended: int) -> Figures:
    """How long the other mail waited: alone, beside the bulk, and how much longer."""
    beside = [one for one in others if began <= one.sent_ns <= ended]
    groups = {
        "alone": [one for one in others if one.sent_ns < began],
        "beside": beside,
        "same_domain": [one for one in beside if one.message % 2],
        "other_domains": [one for one in beside if not one.message % 2],
    }
    figures: Figures = {}
    for name, group in groups.items():
        waits = sorted((one.began_ns - one.sent_ns) / 1e6 for one in group)
        figures[f"{name}_count"] = len(waits)
        for word, share in (("p50", 0.5), ("p99", 0.99), ("most", 1.0)):
            figures[f"{name}_{word}_ms"] = quantile(waits, share)
    figures["growth"] = round(figures["beside_p99_ms"] / (figures["alone_p99_ms"] or 1), 2)
    return figures


CASE = Case(
    name="D2",
    title="20 messages/s of other tenants beside a bulk of 100,000 to one domain and 50 tarpits",
    load=Load(messages=100_000, octets=2048),
    script=crowded,
    tarpit=Delay(30.0, "data"),
    bars=(Bar("growth_slow", "at most", 2.0), Bar("growth_fast", "at most", 2.0)),
    systems=("relay",),
    limit=120.0,
    shown={
        f"{group}_p99_ms_{kind}": f"p99 ms {group}, {kind}"
        for kind in ("fast", "slow")
        for group in ("alone", "same_domain", "other_domains")
    },
)
