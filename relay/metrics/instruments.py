"""Counters and histograms that count without a lock, and are told when somebody asks.

prometheus-client's own take a lock for each count and two for an observation: nine of them a
delivery were a twelfth of a worker's Python. Here a count is an addition, and families are made at
a scrape. Most are counted by one thread. Where several do nothing is lost, as the interpreter
changes threads between calls and loops alone; a sum may be seen one observation ahead of its count.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

_Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class _Instrument(Collector):
    """One, or a family of some by labels; a child is one of its own, not registered.

    `about`: its name, what it says, and what else a child is made from.
    """

    def __init__(self, about: tuple[Any, ...], registry: CollectorRegistry | None) -> None:
        self._about = about
        self._children: dict[tuple[str, ...], Self] = {}
        if registry is not None:
            registry.register(self)

    def labels(self, *values: str) -> Self:
        """The one with these values of the labels."""
        if values not in self._children:
            make: Callable[..., Self] = type(self)
            self._children[values] = make(*self._about, None)
        return self._children[values]

    def describe(self) -> Iterable[Metric]:
        """The same, by which a registry finds a name that is there twice."""
        return self.collect()


class Counter(_Instrument):
    """A counter."""

    def __init__(
        self, name: str, says: str, labels: Iterable[str], registry: CollectorRegistry | None
    ) -> None:
        self.value = 0.0
        super().__init__((name, says, tuple(labels)), registry)

    def inc(self, amount: float = 1.0) -> None:
        """Count so many."""
        self.value += amount

    def collect(self) -> Iterator[Metric]:
        """The family."""
        name, says, labels = self._about
        family = CounterMetricFamily(name, says, labels=labels)
        for values, one in self._children.items() if labels else (((), self),):
            family.add_metric(values, one.value)
        yield family


class Histogram(_Instrument):
    """A histogram; `buckets` are upper bounds in rising order."""

    def __init__(
        self,
        name: str,
        says: str,
        buckets: Iterable[float],
        labels: Iterable[str],
        registry: CollectorRegistry | None,
    ) -> None:
        self._bounds = tuple(map(float, buckets))
        self._slots = [0] * (len(self._bounds) + 1)
        self.sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}
        super().__init__((name, says, self._bounds, tuple(labels)), registry)

    def observe(self, amount: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Count an observation, with what may be shown as an example of its bucket."""
        slot = bisect_left(self._bounds, amount)
        self._slots[slot] += 1
        self.sum += amount
        if exemplar is not None:
            self._exemplars[slot] = Exemplar(dict(exemplar), amount, time.time())

    @contextmanager
    def time(self) -> Iterator[None]:
        """Observe how many seconds what is within takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - began)

    def collect(self) -> Iterator[Metric]:
        """The family."""
        name, says, _, labels = self._about
        family = HistogramMetricFamily(name, says, labels=labels)
        for values, one in self._children.items() if labels else (((), self),):
            family.add_metric(values, list(one.buckets()), one.sum)
        yield family

    def buckets(self) -> Iterator[_Bucket]:
        """Cumulative counts by upper bound, with their examples."""
        total, exemplars = 0.0, dict(self._exemplars)
        for slot, count in enumerate(list(self._slots)):
            total += count
            bound = self._bounds[slot] if slot < len(self._bounds) else float("inf")
            shown = floatToGoString(bound)  # type: ignore[no-untyped-call]
            example = exemplars.get(slot)
            yield (shown, total) if example is None else (shown, total, example)
