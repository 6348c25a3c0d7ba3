"""Connections to hosts, and the look-ups that find them."""

from __future__ import annotations

from relay.metrics.bounded import Bounded
from relay.metrics.declare import counter, gauge, histogram
from relay.metrics.labels import (
    DNS_RESULTS,
    DNS_TYPES,
    PHASES,
    STS_RESULTS,
    TLS_LEVELS,
    TLS_VERSIONS,
)

_DNS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

CONNECTIONS = counter(
    "relay_connections_opened_total", "Sessions opened with hosts: greeted, EHLO said, TLS done."
)
CONNECTIONS_FAILED = Bounded(
    counter(
        "relay_connections_failed_total",
        "Sessions with hosts that could not be had or ended in failure, by how far they had come. "
        "One host failing defers nothing while another host of the site answers.",
        "phase",
    ),
    PHASES,
)
CONNECTIONS_OPEN = gauge(
    "relay_connections_open", "Sessions with hosts that are open now, idle ones included."
)
SESSIONS_REUSED = counter(
    "relay_sessions_reused_total", "Transactions on a session that had carried one before."
)
TLS = Bounded(
    counter(
        "relay_tls_sessions_total",
        "Sessions opened with hosts, by TLS version (none: in the clear) and security level "
        "reached (authenticated: the host's certificate was verified). What was required is not in "
        "it: a session that falls short of it is none, but a failure of phase starttls.",
        "version",
        "level",
    ),
    TLS_VERSIONS,
    TLS_LEVELS,
)
STS_FETCHES = Bounded(
    counter(
        "relay_mta_sts_fetches_total",
        "MTA-STS policies asked for over HTTPS, by result. A domain's policy that was fetched "
        "before holds until its time is over, whatever fails.",
        "result",
    ),
    STS_RESULTS,
)
PARKED = counter(
    "relay_queues_parked_total",
    "Times a queue was parked as its site was dead or its path full. Queues parked now: "
    "relay_queue_parked.",
)

DNS_QUERIES = Bounded(
    counter(
        "relay_dns_queries_total",
        "Queries sent to the name servers, by type and result. Answers from the cache and queries "
        "joined to one in flight are not in it.",
        "type",
        "result",
    ),
    DNS_TYPES,
    DNS_RESULTS,
)
DNS_HITS = counter(
    "relay_dns_cache_hits_total",
    "Look-ups answered from this process's cache. Domains whose route is known are not looked up.",
)
DNS_SECONDS = histogram(
    "relay_dns_seconds",
    "From a look-up that the cache does not know to its answer or failure, retries and waiting for "
    "a slot included.",
    _DNS,
)
