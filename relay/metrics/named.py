"""Counting by a name that comes from outside, such as a site: those that carry most have a series
of their own, all the rest share `other`.

Which have one is agreed upon by the fleet (`relay.store.roster`), so that a series means the same
in every process, and there are never more than `metrics.names` of them. Whoever gets a series
begins at 0, and what it did before stays in `other`; whoever loses it begins anew when it gets it
back. So each series only grows while it is there, as rate() wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily

from relay.metrics.bounded import OTHER

T = TypeVar("T")

#: Names whose traffic is remembered between two reports.
_MOST_SEEN = 10_000


class Named(Generic[T]):
    """Tallies by name. Used on one loop; read by whoever renders the metrics.

    The hot path pays a look-up and an addition: series are made when somebody asks for them.
    """

    def __init__(self, new: Callable[[], T]) -> None:
        self._new = new
        self._named: dict[str, T] = {}
        self._other = new()
        self._seen: dict[str, int] = {}

    def of(self, name: str) -> T:
        """Where to count what happened; it is traffic of that name."""
        if name in self._seen:
            self._seen[name] += 1
        else:
            self.meet(name)
        return self._named.get(name, self._other)

    def meet(self, name: str, times: int = 1) -> None:
        """It is traffic of that name, though nothing is counted."""
        seen = self._seen
        if name in seen:
            seen[name] += times
        elif len(seen) < _MOST_SEEN:
            seen[name] = times

    def take_seen(self) -> dict[str, int]:
        """The traffic of each name since this was last asked."""
        seen, self._seen = self._seen, {}
        return seen

    def show(self, names: Collection[str]) -> None:
        """Give these a series each, and no others."""
        self._named = {name: self._named.get(name) or self._new() for name in names}

    def every(self) -> list[tuple[str, T]]:
        """All that have a series, and the rest as `other`."""
        return [*self._named.items(), (OTHER, self._other)]


def counts(
    name: str, says: str, labels: tuple[str, str], every: Iterable[tuple[str, dict[str, int]]]
) -> CounterMetricFamily:
    """A family of counters of two labels: the name, and a word out of a fixed list."""
    family = CounterMetricFamily(name, says, labels=labels)
    for shown, words in every:
        for word, count in list(words.items()):
            family.add_metric([shown, word], count)
    return family
