"""What is told of single tenants: those that send most by name, all the rest as `other`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.metrics.declare import PROCESS
from relay.metrics.labels import ATTEMPT_OUTCOMES
from relay.metrics.named import Named, counts

#: A recipient of a tenant's complained: what its tally calls that.
COMPLAINED = "complained"
#: What a message without a tenant counts as.
NO_TENANT = "none"


def _tally() -> dict[str, int]:
    return dict.fromkeys((*ATTEMPT_OUTCOMES, COMPLAINED), 0)


class _Families(Collector):
    def describe(self) -> Iterable[Metric]:
        """The same as `collect`: nothing is read from anywhere."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        yield counts(
            "relay_lane_recipients",
            "What attempts did to recipients of a tenant's messages, by outcome (none: messages "
            "without a tenant). Expired and cancelled ones are in relay_outcomes_total alone.",
            ("tenant", "outcome"),
            ((name, _attempted(tally)) for name, tally in TENANTS.every()),
        )
        complaints = CounterMetricFamily(
            "relay_complaints",
            "Recipients who complained about a tenant's messages, as feedback reports told (none: "
            "messages without a tenant, or of one that nobody knows any more). Counted once from "
            "the outbox, by the process that reads it.",
            labels=["tenant"],
        )
        for name, tally in TENANTS.every():
            complaints.add_metric([name], tally[COMPLAINED])
        yield complaints


def _attempted(tally: dict[str, int]) -> dict[str, int]:
    return {word: tally[word] for word in ATTEMPT_OUTCOMES}


#: This process's.
TENANTS = Named(_tally)
PROCESS.register(_Families())
