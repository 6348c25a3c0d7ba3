"""How instruments are declared: the two registries, and the buckets that several share."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relay.metrics.instruments import Counter, Histogram

# They double the series, and no query here needs to know when a counter began.
disable_created_metrics()  # type: ignore[no-untyped-call]


class _Both(Collector):
    """What is in PROCESS, as a part of another registry."""

    def collect(self) -> Iterable[Metric]:
        return PROCESS.collect()


#: What every role serves.
PROCESS = CollectorRegistry()
#: What the exporter serves: gauges of the whole store, and what every role serves.
FLEET = CollectorRegistry()
FLEET.register(_Both())

ProcessCollector(registry=PROCESS)
GCCollector(registry=PROCESS)

#: From what a loopback hop takes to the 5 days after which a message expires.
LIFE = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200,
    21600, 86400, 432000,
)  # fmt: skip
#: What a call over a near network takes.
TRIP = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60)


def counter(name: str, says: str, *labels: str) -> Counter:
    """Of this process, since it began."""
    return Counter(name, says, labels, PROCESS)


def histogram(name: str, says: str, buckets: Iterable[float], *labels: str) -> Histogram:
    """Of this process, since it began."""
    return Histogram(name, says, buckets, labels, PROCESS)


def gauge(name: str, says: str, *labels: str) -> Gauge:
    """Of this process, now."""
    return Gauge(name, says, labels, registry=PROCESS)


def fleet(name: str, says: str, *labels: str) -> Gauge:
    """Of the whole store; the exporter alone serves it."""
    return Gauge(name, says, labels, registry=FLEET)
