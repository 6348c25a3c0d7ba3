"""Messages come in: what is accepted and refused, by the way in."""

from __future__ import annotations

from relay.metrics.bounded import Bounded
from relay.metrics.declare import TRIP, counter, gauge, histogram
from relay.metrics.labels import HTTP_ROUTES, HTTP_STATUSES, REFUSALS, TLS_VERSIONS, WAYS

_OCTETS = tuple(1024 * 4**step for step in range(9))

ACCEPTED = Bounded(
    counter(
        "relay_messages_accepted_total",
        "Messages that became durable, by the way in. A submission repeated under its idempotency "
        "key is not counted again, nor a DSN after a projector died half-way.",
        "way",
    ),
    WAYS,
)
REPEATED = Bounded(
    counter(
        "relay_messages_repeated_total",
        "Submissions answered with the id of a message accepted before, by their idempotency key; "
        "by the way in.",
        "way",
    ),
    WAYS,
)
REFUSED = Bounded(
    counter(
        "relay_messages_refused_total",
        "Messages, recipients and commands refused at submission, by the way in and the reason "
        "(syntax: all that a client said wrongly). Not bounces: nothing was accepted.",
        "way",
        "reason",
    ),
    WAYS,
    REFUSALS,
)
ACCEPTED_RECIPIENTS = counter(
    "relay_recipients_accepted_total", "Recipients of the messages accepted."
)
MESSAGE_BYTES = histogram(
    "relay_message_bytes", "Size of the messages accepted, trace header included.", _OCTETS
)
ADMIT_SECONDS = histogram(
    "relay_admit_seconds",
    "From the last octet of a message that came over SMTP to its durability, waiting for its batch "
    "included.",
    TRIP,
)
RECEPTIONS = counter(
    "relay_reception_connections_total",
    "Connections of clients that were greeted. Those closed at once are not in it.",
)
RECEPTIONS_REFUSED = counter(
    "relay_reception_connections_refused_total",
    "Connections of clients closed at once, as a limit was reached or reception stops.",
)
RECEPTIONS_OPEN = gauge(
    "relay_reception_connections_open", "Connections of clients that are open now."
)
SESSIONS_SECURED = Bounded(
    counter(
        "relay_reception_tls_total",
        "TLS handshakes with clients that ended well, by version. Those that failed are in "
        "relay_messages_refused_total, reason tls.",
        "version",
    ),
    TLS_VERSIONS[:2],
)
CERTIFICATE_EXPIRES = gauge(
    "relay_certificate_expires_timestamp_seconds",
    "When the certificate that this process shows its clients expires, as a Unix time. No "
    "series where there is no certificate.",
    "use",
)
HTTP_REQUESTS = Bounded(
    counter(
        "relay_http_requests_total",
        "Requests to the HTTP API that were answered, by route and status code.",
        "route",
        "status",
    ),
    HTTP_ROUTES,
    HTTP_STATUSES,
)
HTTP_SECONDS = histogram(
    "relay_http_seconds",
    "From a request's header section to its answer, its body's way in included. Streams of events "
    "are not in it.",
    TRIP,
)
HTTP_OPEN = gauge("relay_http_requests_open", "Requests to the HTTP API that are under way.")
HTTP_STREAMS = gauge("relay_http_streams_open", "Streams of events that are open now.")
