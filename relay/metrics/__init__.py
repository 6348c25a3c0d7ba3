"""Every instrument of Relay, declared in one place.

Counters and histograms tell of this process alone, since it began; sum them over the fleet. The
gauges in FLEET tell of the whole store, and only the exporter serves them. Names follow
https://prometheus.io/docs/practices/naming: base units, `_total` for what only grows.

    metrics.OUTCOMES["delivered", "2yz"].inc(3)
    metrics.ATTEMPT_SECONDS.observe(0.25)

One `inc` takes about 0.25 us and one `observe` 0.6 us, both under a lock that is never waited for
on one loop; whoever handles a batch adds it up and says `inc(n)`.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relay.metrics.bounded import OTHER, Bounded
from relay.metrics.labels import (
    CONSUMERS,
    DNS_RESULTS,
    DNS_TYPES,
    HELD_BY,
    OUTCOME_WORDS,
    PATH_REFUSALS,
    PHASES,
    REFUSALS,
    REPLY_CLASSES,
    STATES,
    STORE_CALLS,
    STORE_FAILURES,
    WAYS,
    reply_class,
)
from relay.version import __version__

__all__ = ["OTHER", "Bounded", "reply_class"]

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
_LIFE = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200,
    21600, 86400, 432000,
)  # fmt: skip
_ATTEMPT = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
_TRIP = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60)
_DNS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAG = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_OCTETS = tuple(1024 * 4**step for step in range(9))


def _counter(name: str, says: str, *labels: str) -> Counter:
    return Counter(name, says, labels, registry=PROCESS)


def _histogram(name: str, says: str, buckets: Iterable[float], *labels: str) -> Histogram:
    return Histogram(name, says, labels, buckets=tuple(buckets), registry=PROCESS)


def _gauge(name: str, says: str, *labels: str) -> Gauge:
    return Gauge(name, says, labels, registry=PROCESS)


def _fleet(name: str, says: str, *labels: str) -> Gauge:
    return Gauge(name, says, labels, registry=FLEET)


# Messages come in.
ACCEPTED = Bounded(
    _counter(
        "relay_messages_accepted_total",
        "Messages that became durable, by the way in. A submission repeated under its idempotency "
        "key is not counted again, nor a DSN after a projector died half-way.",
        "way",
    ),
    WAYS,
)
REPEATED = Bounded(
    _counter(
        "relay_messages_repeated_total",
        "Submissions answered with the id of a message accepted before, by their idempotency key; "
        "by the way in.",
        "way",
    ),
    WAYS,
)
REFUSED = Bounded(
    _counter(
        "relay_messages_refused_total",
        "Messages, recipients and commands refused at submission, by the way in and the reason "
        "(syntax: all that a client said wrongly). Not bounces: nothing was accepted.",
        "way",
        "reason",
    ),
    WAYS,
    REFUSALS,
)
ACCEPTED_RECIPIENTS = _counter(
    "relay_recipients_accepted_total", "Recipients of the messages accepted."
)
MESSAGE_BYTES = _histogram(
    "relay_message_bytes", "Size of the messages accepted, trace header included.", _OCTETS
)
ADMIT_SECONDS = _histogram(
    "relay_admit_seconds",
    "From the last octet of a message that came over SMTP to its durability, waiting for its batch "
    "included.",
    _TRIP,
)
RECEPTIONS = _counter(
    "relay_reception_connections_total",
    "Connections of clients that were greeted. Those closed at once are not in it.",
)
RECEPTIONS_REFUSED = _counter(
    "relay_reception_connections_refused_total",
    "Connections of clients closed at once, as a limit was reached or reception stops.",
)
RECEPTIONS_OPEN = _gauge(
    "relay_reception_connections_open", "Connections of clients that are open now."
)

# Attempts.
ATTEMPTS = _counter(
    "relay_attempts_total",
    "Attempts of deliveries that ended with an outcome for their recipients. A dead site that "
    "parked a queue costs no attempt and is not counted.",
)
ATTEMPTS_OPEN = _gauge("relay_attempts_open", "Deliveries leased by this process now.")
OUTCOMES = Bounded(
    _counter(
        "relay_outcomes_total",
        "What was done to recipients, by outcome and class of the reply that decided it (none: no "
        "host answered). Deferred counts at each attempt, the others once per recipient. Expired "
        "and cancelled are counted from the outbox, whoever caused them.",
        "outcome",
        "reply",
    ),
    OUTCOME_WORDS,
    REPLY_CLASSES,
)
HELD = Bounded(
    _counter(
        "relay_deliveries_held_total",
        "Deliveries set aside so that somebody looks at them: poison (their worker died three "
        "times) or content (it is missing). How many are held now, those that an operator holds "
        "included, is relay_queue_deliveries.",
        "reason",
    ),
    HELD_BY,
)
FIRST_ATTEMPT_SECONDS = _histogram(
    "relay_first_attempt_seconds",
    "From acceptance to the beginning of the first attempt of a delivery, one that was to be sent "
    "later included. It compares clocks of two hosts.",
    _LIFE,
)
DELIVERED_SECONDS = _histogram(
    "relay_delivered_seconds",
    "From acceptance to the reply that took responsibility, retries included. Deliveries that "
    "never got there are not in it.",
    _LIFE,
)
ATTEMPT_SECONDS = _histogram(
    "relay_attempt_seconds",
    "From an attempt's first command on a session to its outcome. Opening the session is not in "
    "it, as many attempts share one; where no host was asked it is 0.",
    _ATTEMPT,
)

# Connections to hosts.
CONNECTIONS = _counter(
    "relay_connections_opened_total", "Sessions opened with hosts: greeted, EHLO said, TLS done."
)
CONNECTIONS_FAILED = Bounded(
    _counter(
        "relay_connections_failed_total",
        "Sessions with hosts that could not be had or ended in failure, by how far they had come. "
        "One host failing defers nothing while another host of the site answers.",
        "phase",
    ),
    PHASES,
)
CONNECTIONS_OPEN = _gauge(
    "relay_connections_open", "Sessions with hosts that are open now, idle ones included."
)
SESSIONS_REUSED = _counter(
    "relay_sessions_reused_total", "Transactions on a session that had carried one before."
)
TLS = Bounded(
    _counter(
        "relay_tls_sessions_total",
        "Sessions opened with hosts, by TLS version (none: in the clear).",
        "version",
    ),
    ("TLSv1.2", "TLSv1.3", "none"),
)
PATH_REFUSED = Bounded(
    _counter(
        "relay_path_refused_total",
        "Connections that a worker asked for and did not get, by reason: the path's window, its "
        "rate, its breaker, or the store gave no answer. Nothing was attempted.",
        "reason",
    ),
    PATH_REFUSALS,
)
PARKED = _counter(
    "relay_queues_parked_total",
    "Times a queue was parked as its site was dead or its path full. Queues parked now: "
    "relay_queue_parked.",
)

# DNS.
DNS_QUERIES = Bounded(
    _counter(
        "relay_dns_queries_total",
        "Queries sent to the name servers, by type and result. Answers from the cache and queries "
        "joined to one in flight are not in it.",
        "type",
        "result",
    ),
    DNS_TYPES,
    DNS_RESULTS,
)
DNS_HITS = _counter(
    "relay_dns_cache_hits_total",
    "Look-ups answered from this process's cache. Domains whose route is known are not looked up.",
)
DNS_SECONDS = _histogram(
    "relay_dns_seconds",
    "From a look-up that the cache does not know to its answer or failure, retries and waiting for "
    "a slot included.",
    _DNS,
)

# Leases.
LEASED = _counter("relay_leases_granted_total", "Deliveries leased.")
EXTENDED = _counter("relay_leases_extended_total", "Leases renewed while their attempt ran.")
RELEASED = _counter(
    "relay_leases_released_total", "Leases handed back with nothing attempted; no attempt counts."
)
LOST = _counter(
    "relay_leases_lost_total",
    "Leases that their holder found gone when it renewed, released or settled.",
)
FENCED = _counter(
    "relay_settles_fenced_total",
    "Outcomes that the store refused, as another holds the delivery. The recipients may have got "
    "the message: see relay_possible_doubles_total.",
)
RECLAIMED = _counter("relay_leases_reclaimed_total", "Expired leases taken back from dead holders.")
POSSIBLE_DOUBLES = _counter(
    "relay_possible_doubles_total",
    "Leases that ended without a settle while their message may have been sent. Real doubles are "
    "at most as many; most are none.",
)

# The store.
STORE_SECONDS = Bounded(
    _histogram(
        "relay_store_seconds",
        "From a call to the store to its answer, being said again included, by script (command: a "
        "call that is none).",
        _TRIP,
        "call",
    ),
    STORE_CALLS,
)
STORE_FAILED = Bounded(
    _counter(
        "relay_store_failures_total",
        "Times a call to the store got no good answer or there was no connecting to it, by reason. "
        "Most are said again and then work; timeout includes those that were given up.",
        "reason",
    ),
    STORE_FAILURES,
)

# Wake-ups.
RINGS = _counter("relay_doorbell_queues_total", "Queues named in wake-ups that were published.")
PUBLISHED = _counter("relay_doorbell_tasks_total", "Celery tasks published as wake-ups.")
RINGS_DROPPED = _counter(
    "relay_doorbell_dropped_total",
    "Queues whose wake-up could not be published. The pump rings them again: late, not lost.",
)
DRAIN_SECONDS = _histogram(
    "relay_drain_seconds",
    "How long a drain task ran. Its attempts live on after it and are not in this.",
    _TRIP,
)

# What outcomes cause.
PROJECTED = Bounded(
    _counter("relay_projector_events_total", "Events applied, by consumer.", "consumer"), CONSUMERS
)
PROJECTOR_LAG = Bounded(
    _gauge(
        "relay_projector_lag_seconds",
        "Age of the oldest event not applied, as its projector last saw it; 0 when it is through. "
        "Processes that do not hold the projector's role show 0.",
        "consumer",
    ),
    CONSUMERS,
)
DSNS_REFUSED = _counter(
    "relay_dsns_refused_total", "DSNs that the queue would not take: their sender learns nothing."
)

# The process.
LOOP_LAG_SECONDS = _histogram(
    "relay_event_loop_lag_seconds",
    "How late the event loop runs what is due, sampled twice a second. Single stalls between "
    "samples may be missed.",
    _LAG,
)
Info("relay_build", "The version of Relay and of Python.", registry=PROCESS).info(
    {"version": __version__, "python": platform.python_version()}
)

# The fleet, as the exporter reads it from the store.
STORE_UP = _fleet(
    "relay_store_up",
    "1 where the exporter's last reading of the store worked; what it read before stays if 0.",
)
QUEUE_DELIVERIES = Bounded(
    _fleet(
        "relay_queue_deliveries",
        "Deliveries in the queue, by state: later (not due), ready, leased, held. A message has "
        "one for each domain of its recipients.",
        "state",
    ),
    STATES,
)
QUEUE_OLDEST_SECONDS = _fleet(
    "relay_queue_oldest_seconds",
    "Age of the oldest delivery in any state, held ones included; 0 when the queue is empty.",
)
QUEUE_PARKED = _fleet(
    "relay_queue_parked",
    "Queues with ready deliveries that wait for their site or path for longer than lease.deadline.",
)
EVENTS_LENGTH = _fleet(
    "relay_events_length", "Events in the outbox, those kept for a while after use included."
)
STORE_MEMORY_USED = _fleet("relay_store_memory_used_bytes", "Memory that the store says it uses.")
STORE_MEMORY_MAX = _fleet(
    "relay_store_memory_max_bytes", "The store's memory limit; 0 where it has none."
)
BROKER_UP = _fleet(
    "relay_broker_up",
    "1 where the exporter's last reading of the broker worked; what it read before stays if 0.",
)
BROKER_TASKS = _fleet("relay_broker_tasks", "Celery tasks that wait in the broker.")
