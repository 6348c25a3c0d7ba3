"""Attempts of deliveries, and what they did to recipients."""

from __future__ import annotations

from relay.metrics.bounded import Bounded
from relay.metrics.declare import LIFE, counter, gauge, histogram
from relay.metrics.labels import ATTEMPT_OUTCOMES, CATEGORIES, HELD_BY, OUTCOME_WORDS, REPLY_CLASSES

_ATTEMPT = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)

ATTEMPTS = counter(
    "relay_attempts_total",
    "Attempts of deliveries that ended with an outcome for their recipients. A dead site that "
    "parked a queue costs no attempt and is not counted.",
)
ATTEMPTS_OPEN = gauge("relay_attempts_open", "Deliveries leased by this process now.")
OUTCOMES = Bounded(
    counter(
        "relay_outcomes_total",
        "What was done to recipients, by outcome and class of the reply that decided it (none: no "
        "host answered). Deferred counts at each attempt, the others once per recipient. Expired, "
        "cancelled, and what an operator bounced (reply none), are counted from the outbox, "
        "whoever caused them.",
        "outcome",
        "reply",
    ),
    OUTCOME_WORDS,
    REPLY_CLASSES,
)
FAILURES = Bounded(
    counter(
        "relay_failures_total",
        "Recipients deferred or bounced, by what the reply was about: the subject of its enhanced "
        "status code (RFC 3463), with full for a full mailbox; unspecified where the host sent "
        "none. No host that answered is network.",
        "outcome",
        "category",
    ),
    ATTEMPT_OUTCOMES[1:],
    CATEGORIES,
)
HELD = Bounded(
    counter(
        "relay_deliveries_held_total",
        "Deliveries set aside so that somebody looks at them: poison (they end their "
        "workers) or content (it is missing). How many are held now, those that an operator holds "
        "included, is relay_queue_deliveries.",
        "reason",
    ),
    HELD_BY,
)
FIRST_ATTEMPT_SECONDS = histogram(
    "relay_first_attempt_seconds",
    "From acceptance to the beginning of the first attempt of a delivery, one that was to be sent "
    "later included. It compares clocks of two hosts.",
    LIFE,
)
DELIVERED_SECONDS = histogram(
    "relay_delivered_seconds",
    "From acceptance to the reply that took responsibility, retries included. Deliveries that "
    "never got there are not in it.",
    LIFE,
)
ATTEMPT_SECONDS = histogram(
    "relay_attempt_seconds",
    "From an attempt's first command on a session to its outcome. Opening the session is not in "
    "it, as many attempts share one; where no host was asked it is 0.",
    _ATTEMPT,
)
