"""The whole fleet, as the exporter reads it from the store and the broker."""

from __future__ import annotations

from relay.metrics.bounded import Bounded
from relay.metrics.declare import fleet
from relay.metrics.labels import STATES

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
QUEUE_PARKED = fleet(
    "relay_queue_parked",
    "Queues with ready deliveries that wait for their site or path for longer than lease.deadline.",
)
EVENTS_LENGTH = fleet(
    "relay_events_length", "Events in the outbox, those kept for a while after use included."
)
STORE_MEMORY_USED = fleet("relay_store_memory_used_bytes", "Memory that the store says it uses.")
STORE_MEMORY_MAX = fleet(
    "relay_store_memory_max_bytes", "The store's memory limit; 0 where it has none."
)
BROKER_UP = fleet(
    "relay_broker_up",
    "1 where the exporter's last reading of the broker worked; what it read before stays if 0.",
)
BROKER_TASKS = fleet("relay_broker_tasks", "Celery tasks that wait in the broker.")
