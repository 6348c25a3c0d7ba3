"""Who clients are: logins, and quotas."""

from __future__ import annotations

from relay.metrics.bounded import Bounded
from relay.metrics.declare import TRIP, counter, histogram
from relay.metrics.labels import LOGIN_KINDS, LOGIN_RESULTS

LOGINS = Bounded(
    counter(
        "relay_logins_total",
        "Logins and API tokens shown, by kind and result: passed, or why not (credentials: wrong; "
        "locked: too many failures; busy: too many at once).",
        "kind",
        "result",
    ),
    LOGIN_KINDS,
    LOGIN_RESULTS,
)
LOGIN_SECONDS = histogram(
    "relay_login_seconds",
    "Checks of passwords, waiting for a thread included. A login that passed a moment ago is not "
    "checked again.",
    TRIP,
)
QUOTA_REFUSED = counter(
    "relay_quota_refusals_total", "Messages that did not fit into their credential's quotas."
)
