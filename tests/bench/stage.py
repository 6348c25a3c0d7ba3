"""The stage: what a case's script has to work with, and the script that most cases share."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench import checks, meter
from tests.bench.figures import Case, Figures, Load
from tests.bench.injector import Injected
from tests.bench.meter import Meter, Usage
from tests.bench.sandbox import Sandbox
from tests.bench.sink import AnySink, Arrival, Listener, Live, sink, wait_for
from tests.bench.systems.base import System

#: Seconds for a system to come to rest after its start, and after the last message.
_SETTLE = 1.0
_TRAIL = 0.3


class Stage:
    """One run of one case with one system."""

    def __init__(
        self, case: Case, load: Load, system: System, sandbox: Sandbox, place: Path
    ) -> None:
        self.case = case
        self.load = load
        self.system = system
        self.sandbox = sandbox
        self.place = place

    @contextlib.contextmanager
    def running(self) -> Iterator[System]:
        """The system, started and at rest; surely stopped afterwards."""
        self.system.start()
        try:
            time.sleep(_SETTLE)
            yield self.system
        finally:
            self.system.stop()

    def sink(self) -> contextlib.AbstractContextManager[AnySink]:
        """The sink, with a listener for healthy domains and one for tarpits."""
        sandbox, case = self.sandbox, self.case
        listeners = [Listener(sandbox.healthy, sandbox.smtp_port, case.healthy)]
        if case.tarpit is not None:
            listeners.append(Listener(sandbox.slow, sandbox.smtp_port, case.tarpit))
        return sink(self.place, listeners)

    def inject(self, load: Load | None = None) -> Injected:
        """Send a load, that of the case if no other."""
        return self.system.inject(load or self.load, self.case.limit)

    def measured(self) -> Measured:
        """A meter that runs from here."""
        return Measured(self.system)


class Measured:
    """CPU, memory and wall time from its making to `end`."""

    def __init__(self, system: System) -> None:
        self._harness = meter.harness(system.group)
        self._meter = Meter(system.group, self._harness, system.process_name)
        self._began = time.monotonic()
        self._meter.begin()

    def end(self, units: int) -> Figures:
        """The figures; CPU time is divided by so many recipients."""
        time.sleep(_TRAIL)
        usage: Usage = self._meter.end()
        seconds = time.monotonic() - self._began
        return {
            "cpu_ms": per(usage.system * 1000, units),
            "cpu_by_process": {
                name: per(spent * 1000, units)
                for name, spent in sorted(usage.by_process.items(), key=lambda one: -one[1])
                if spent > 0
            },
            "harness_cpu_s": round(usage.harness, 2),
            "kernel_cpu_s": round(usage.kernel, 2),
            "foreign_cpu": round(usage.foreign / seconds, 3),
            "peak_rss_mb": self._meter.peak_rss >> 20,
            "largest_mb": {k: v >> 20 for k, v in self._meter.largest.items()},
        }


def per(total: float, units: int) -> float:
    """A share, rounded for a table."""
    return round(total / units, 4) if units else 0.0


def relayed(stage: Stage) -> Figures:
    """Inject the load and wait until all healthy domains have theirs."""
    load, limit = stage.load, stage.case.limit
    with stage.sink() as opened, stage.running() as system:
        measured, busy = stage.measured(), meter.busy()
        injected = stage.inject()
        busy = meter.busy() - busy
        through = wait_for(opened, load.due, limit - injected.seconds)
        live = opened.live()
        figures = measured.end(sum(live.recipients))
        figures |= system.counters()
        durability = system.durability
    return {
        **of_injection(injected),
        **of_delivery(injected, live, through=through),
        **figures,
        **of_arrivals(load, injected, opened.stop()),
        # The share of the cores that was busy while mail came in, whoever used them.
        "busy": round(busy / injected.seconds / len(os.sched_getaffinity(0)), 3),
        "durability": durability,
    }


def of_injection(injected: Injected) -> Figures:
    """What the injector saw."""
    return {
        "accepted": injected.accepted,
        "accept_failed": injected.failed,
        "accept_retries": injected.retries,
        "accepted_per_s": round(injected.rate, 1),
        "ack_p50_ms": injected.ack_p50_ms,
        "ack_p99_ms": injected.ack_p99_ms,
        "refusal": injected.refusal,
    }


def of_delivery(injected: Injected, live: Live, *, through: bool) -> Figures:
    """What the sink counted: times from the first connection of the injector on."""
    seconds = (live.last_ns[0] - injected.began_ns) / 1e9 if live.last_ns[0] else 0.0
    return {
        "through": through,
        "delivered": live.recipients[0],
        "delivered_slow": sum(live.recipients[1:]),
        "healthy_s": round(seconds, 3),
        "delivered_per_s": round(live.recipients[0] / seconds, 1) if seconds > 0 else 0.0,
        "sink_sessions": live.sessions,
        "sink_most_open": live.most_open,
    }


def of_arrivals(load: Load, injected: Injected, arrivals: Sequence[Arrival]) -> Figures:
    """What the sink recorded: latencies, and whether all is right."""
    if not arrivals:
        return {"checked": "count"}
    waits = sorted((one.done_ns - one.sent_ns) / 1e6 for one in arrivals if one.listener == 0)
    return {
        "checked": "ids",
        **checks.verdict(load, injected.body, arrivals),
        "latency_p50_ms": quantile(waits, 0.5),
        "latency_p99_ms": quantile(waits, 0.99),
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value at a share of an ordered sequence, 0 of none."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else 0.0
