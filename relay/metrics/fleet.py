"""The whole fleet, as the exporter reads it from the store and the broker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relay.metrics.bounded import OTHER, Bounded
from relay.metrics.declare import FLEET, fleet
from relay.metrics.labels import BREAKERS, CONSUMERS, STATES

STORE_UP = fleet(
    "relay_store_up",
    "1 where the exporter's last reading of the store worked; what it read before stays if 0.",
)
QUEUE_DELIVERIES = Bounded(
    fleet(
        "relay_queue_deliveries",
        "Deliveries in the queue, by state: later (not due), ready, leased, held. A message has "
        "one for each domain of its recipients.",
        "state",
    ),
    STATES,
)
QUEUE_OLDEST_SECONDS = fleet(
    "relay_queue_oldest_seconds",
    "Age of the oldest delivery in any state, held ones included; 0 when the queue is empty.",
)
QUEUE_OLDEST_ACTIVE_SECONDS = fleet(
    "relay_queue_oldest_active_seconds",
    "Age of the oldest delivery that is not held; it may have been told to wait, or be deferred "
    "again and again. Where the thousand oldest are all held, the age of the last of these.",
)
QUEUE_OVERDUE = fleet(
    "relay_queue_overdue",
    "Queues with ready deliveries whose wake-up is overdue by more than lease.deadline: no worker "
    "rings, or the broker has more than enough to do.",
)
QUEUE_PARKED = fleet(
    "relay_queue_parked",
    "Queues with ready deliveries that wait for their site or path for longer than lease.deadline.",
)
EVENTS_LENGTH = fleet(
    "relay_events_length", "Events in the outbox, those kept for a while after use included."
)
OUTBOX_LAG = Bounded(
    fleet(
        "relay_outbox_lag_seconds",
        "Age of the oldest event that a consumer has not applied, whether one runs or none; 0 when "
        "it is through.",
        "consumer",
    ),
    CONSUMERS,
)
WORKERS = fleet(
    "relay_workers",
    "Worker processes that reported to the store within the last 30 seconds. One that was killed "
    "counts until then.",
)
STORE_ROUND_TRIP = fleet(
    "relay_store_round_trip_seconds",
    "What the exporter's last look at the store's clock took, there and back: the network and the "
    "store's load, but no disk.",
)
STORE_WRITES = fleet(
    "relay_store_persisting",
    "1 where the store, each primary of it, says that it could write and rewrite its append-only "
    "file the last time; 0 where not, and it refuses writes. Whether the setting calls for one is "
    "checked at start.",
)
STORE_FILE = fleet(
    "relay_store_file_bytes",
    "Size of the store's append-only file, of several primaries the largest; it shrinks when the "
    "store rewrites it. The room left on its disk is its machine's to tell.",
)
STORE_MEMORY_USED = fleet(
    "relay_store_memory_used_bytes",
    "Memory that the store says it uses; of several primaries the one with the least room.",
)
STORE_MEMORY_MAX = fleet(
    "relay_store_memory_max_bytes", "That primary's memory limit; 0 where it has none."
)
TENANT_SHARE = fleet(
    "relay_lane_share_bytes",
    "What the open messages of one tenant may take up (store.tenant_share), once more than half of "
    "what may be used is; 0 where nothing limits it.",
)
BROKER_UP = fleet(
    "relay_broker_up",
    "1 where the exporter's last reading of the broker worked; what it read before stays if 0.",
)
BROKER_TASKS = fleet("relay_broker_tasks", "Celery tasks that wait in the broker.")


class _Shown:
    """What was read last; replaced as a whole, for it is rendered in another thread."""

    def __init__(self) -> None:
        self.paths: Mapping[str, tuple[int, int, int, str]] = {}
        self.ages: tuple[tuple[str, int], ...] = ()
        self.nodes: Mapping[str, tuple[int, int] | None] = {}
        self.tenants: tuple[tuple[str, int], ...] = ()


class _Families(Collector):
    def describe(self) -> Iterable[Metric]:
        """The same as `collect`: nothing is read from anywhere."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        paths = _shown.paths
        for at, (name, says) in enumerate(_PATH_GAUGES):
            family = GaugeMetricFamily(name, says, labels=["site"])
            for site, values in paths.items():
                family.add_metric([site], float(values[at]))
            yield family
        breaker = GaugeMetricFamily(
            "relay_path_breaker",
            "1 for the state that the site's breaker is in: open (mail flows), dead (nothing "
            "begins for a while) or probe (one connection finds out).",
            labels=["site", "state"],
        )
        for site, values in paths.items():
            for state in BREAKERS:
                breaker.add_metric([site, state], float(values[3] == state))
        yield breaker
        yield from self._nodes()
        ages = Metric(
            "relay_queue_age_seconds",
            "Deliveries in the queue by age, held ones included, with the bounds of qshape's "
            "columns. There is no sum.",
            "gaugehistogram",
        )
        for bound, count in _shown.ages:
            ages.add_sample("relay_queue_age_seconds_bucket", {"le": bound}, count)
        yield ages
        yield self._tenants()

    def _tenants(self) -> Metric:
        tenants = GaugeMetricFamily(
            "relay_lane_stored_bytes",
            "What the open messages of a tenant take up in the store, as its share counts it: "
            "content, and 700 octets a delivery. The tenants with most by name, the rest as other; "
            "messages without a tenant have no share and are not in it.",
            labels=["tenant"],
        )
        for tenant, octets in _shown.tenants:
            tenants.add_metric([tenant], float(octets))
        return tenants

    def _nodes(self) -> Iterator[Metric]:
        nodes = _shown.nodes
        up = GaugeMetricFamily(
            "relay_store_node_up",
            "1 where a primary of the store, by its host and port or its socket, answered the "
            "exporter's last reading; 0 where it did not. There is one unless the store is a "
            "cluster.",
            labels=["node"],
        )
        for node, values in nodes.items():
            up.add_metric([node], float(values is not None))
        yield up
        for at, (name, says) in enumerate(_NODE_GAUGES):
            family = GaugeMetricFamily(name, says, labels=["node"])
            for node, values in nodes.items():
                if values is not None:
                    family.add_metric([node], float(values[at]))
            yield family


#: In the order of what `show_paths` gets.
_PATH_GAUGES = (
    (
        "relay_path_window",
        "Connections to a site that its answers allow now; 0 where nothing was heard of it for an "
        "hour. delivery.concurrency.limit may be lower.",
    ),
    ("relay_path_connections", "Connections to a site that the fleet has now, idle ones included."),
    ("relay_path_waiting", "Queues that wait for a connection to a site."),
)
#: In the order of what `show_nodes` gets.
_NODE_GAUGES = (
    ("relay_store_node_memory_used_bytes", "Memory that a primary of the store uses."),
    ("relay_store_node_memory_max_bytes", "A primary's memory limit; 0 where it has none."),
)
_shown = _Shown()
FLEET.register(_Families())


def show_paths(paths: Mapping[str, tuple[int, int, int, str]]) -> None:
    """By site: window, connections, queues that wait, and the breaker's state."""
    _shown.paths = dict(paths)


def show_nodes(nodes: Mapping[str, tuple[int, int] | None]) -> None:
    """By primary: octets of memory used, and at most; None of one that does not answer."""
    _shown.nodes = dict(nodes)


def show_tenants(named: Iterable[tuple[str, int]], others: int) -> None:
    """What each of these tenants takes up, and all others together."""
    _shown.tenants = (*named, (OTHER, others))


def show_ages(bounds: Iterable[int], counts: Iterable[int]) -> None:
    """How many deliveries are not older than each bound, in seconds; and all, as the last count."""
    names = [*(f"{bound}.0" for bound in bounds), "+Inf"]
    _shown.ages = tuple(zip(names, counts, strict=True))
