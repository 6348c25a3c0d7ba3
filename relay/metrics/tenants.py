"""What is told of single tenants: those that send most by name, all the rest as `other`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relay.metrics.declare import PROCESS
from relay.metrics.labels import ATTEMPT_OUTCOMES
from relay.metrics.named import Named, counts

#: What a message without a tenant counts as.
NO_TENANT = "none"


def _tally() -> dict[str, int]:
    return dict.fromkeys(ATTEMPT_OUTCOMES, 0)


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
            TENANTS.every(),
        )


#: This process's.
TENANTS = Named(_tally)
PROCESS.register(_Families())
