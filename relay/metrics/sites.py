"""What is told of single sites: those that carry most by name, all the rest as `other`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relay.metrics.declare import PROCESS
from relay.metrics.labels import ATTEMPT_OUTCOMES, CATEGORIES, PATH_REFUSALS
from relay.metrics.named import Named, counts

#: Seconds of an attempt.
BUCKETS = (0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300)
_BOUNDS = (*(str(float(bound)) for bound in BUCKETS), "+Inf")


class SiteTally:
    """What happened at one site, or at all that have no series."""

    __slots__ = ("categories", "outcomes", "refused", "seconds", "slots")

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(ATTEMPT_OUTCOMES, 0)
        self.categories = dict.fromkeys(CATEGORIES, 0)
        self.refused = dict.fromkeys(PATH_REFUSALS, 0)
        #: Attempts by how long they took, and how long all took together.
        self.slots = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def took(self, seconds: float) -> None:
        """An attempt ended."""
        self.slots[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """The attempts as a histogram has them: cumulative, by upper bound."""
        total, found = 0, []
        for bound, count in zip(_BOUNDS, list(self.slots), strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class _Families(Collector):
    def describe(self) -> Iterable[Metric]:
        """The same as `collect`: nothing is read from anywhere."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        every = SITES.every()
        yield counts(
            "relay_path_recipients",
            "What attempts did to recipients at a site, by outcome. A path that rests attempts "
            "nothing, so a dead site has few of them.",
            ("site", "outcome"),
            ((site, tally.outcomes) for site, tally in every),
        )
        yield counts(
            "relay_path_failures",
            "Recipients deferred or bounced at a site, by what the reply was about, as in "
            "relay_failures_total.",
            ("site", "category"),
            ((site, tally.categories) for site, tally in every),
        )
        yield counts(
            "relay_path_refused",
            "Connections that a worker asked for and did not get, by site and reason: the path's "
            "window, its rate, its breaker, or the store gave no answer. Nothing was attempted.",
            ("site", "reason"),
            ((site, tally.refused) for site, tally in every),
        )
        seconds = HistogramMetricFamily(
            "relay_path_attempt_seconds",
            "From an attempt's first command on a session to its outcome, by site. Opening the "
            "session is not in it.",
            labels=["site"],
        )
        for site, tally in every:
            seconds.add_metric([site], tally.buckets(), tally.seconds)
        yield seconds


#: This process's.
SITES = Named(SiteTally)
PROCESS.register(_Families())
