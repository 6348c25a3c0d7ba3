"""The process at work: its calls to the store, its Celery tasks, its loop, its projectors."""

from __future__ import annotations

import platform

from prometheus_client import Info

from relay.metrics.bounded import Bounded
from relay.metrics.declare import PROCESS, TRIP, counter, gauge, histogram
from relay.metrics.labels import CONSUMERS, STORE_CALLS, STORE_FAILURES, TASK_ENDS, TASKS
from relay.metrics.labels import UNREADABLE as UNREADABLE_BY
from relay.version import __version__

_LAG = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)

STORE_SECONDS = Bounded(
    histogram(
        "relay_store_seconds",
        "From a call to the store to its answer, being said again included, by script (command: a "
        "call that is none).",
        TRIP,
        "call",
    ),
    STORE_CALLS,
)
REPLICATION_SECONDS = histogram(
    "relay_store_replication_seconds",
    "From asking the replicas of the store to all having what was written; one question covers all "
    "that was written before it (store.durability = replicated).",
    TRIP,
)
REPLICATION_SHORT = counter(
    "relay_store_replication_short_total",
    "Times that too few replicas of the store had what was written within a second; they are "
    "waited for again, for as long as store.timeout.",
)
WITHDRAWN = counter(
    "relay_messages_withdrawn_total",
    "Messages that were cancelled and answered with 451, as too few replicas of the store had them "
    "in time.",
)
STORE_FAILED = Bounded(
    counter(
        "relay_store_failures_total",
        "Times a call to the store got no good answer or there was no connecting to it, by reason. "
        "Most are said again and then work; timeout includes those that were given up.",
        "reason",
    ),
    STORE_FAILURES,
)

RINGS = counter("relay_doorbell_queues_total", "Queues named in wake-ups that were published.")
PUBLISHED = counter("relay_doorbell_tasks_total", "Celery tasks published as wake-ups.")
RINGS_DROPPED = counter(
    "relay_doorbell_dropped_total",
    "Queues whose wake-up could not be published. The pump rings them again: late, not lost.",
)
TASKS_DONE = Bounded(
    counter(
        "relay_celery_tasks_total",
        "Celery tasks that ended, by task and how. A drain only hands queues over: it succeeds "
        "whatever becomes of the mail.",
        "task",
        "state",
    ),
    TASKS,
    TASK_ENDS,
)
TASK_SECONDS = Bounded(
    histogram(
        "relay_celery_seconds",
        "How long a Celery task ran. The attempts that a drain began live on after it and are not "
        "in this; nor is the time that it waited in the broker.",
        TRIP,
        "task",
    ),
    TASKS,
)
PROJECTED = Bounded(
    counter("relay_projector_events_total", "Events applied, by consumer.", "consumer"), CONSUMERS
)
PROJECTOR_LAG = Bounded(
    gauge(
        "relay_projector_lag_seconds",
        "Age of the oldest event not applied, as its projector last saw it; 0 when it is through. "
        "Processes that do not hold the projector's role show 0.",
        "consumer",
    ),
    CONSUMERS,
)
DSNS_REFUSED = counter(
    "relay_dsns_refused_total", "DSNs that the queue would not take: their sender learns nothing."
)

UNREADABLE = Bounded(
    counter(
        "relay_records_unreadable_total",
        "Times that this process met something stored that it cannot read, by reason: newer (a "
        "newer version of Relay wrote it) or damaged. It was left as it is.",
        "reason",
    ),
    UNREADABLE_BY,
)

LOOP_LAG_SECONDS = histogram(
    "relay_event_loop_lag_seconds",
    "How late the event loop runs what is due, sampled once a second. Single stalls between "
    "samples may be missed.",
    _LAG,
)
Info("relay_build", "The version of Relay and of Python.", registry=PROCESS).info(
    {"version": __version__, "python": platform.python_version()}
)
