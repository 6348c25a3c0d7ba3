"""The Celery app: `celery -A workers.app worker`, and everything else that `celery` can do."""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue

from workers import control, logs, tasks, transport
from workers.settings import celery_settings
from workers.steps import EngineStep, WatchdogStep

#: Registered by being imported; needed by workers, or by those who ask them.
__all__ = ["app", "control", "logs", "tasks"]

#: The default queue, which is a list of that name in the broker.
QUEUE = "relay"

transport.install()
app = Celery("relay", task_cls="workers.request:RelayTask")
app.conf.update(
    # What is in a task: JSON, no result, no second try. Early ack, as a lost wake-up is rung again.
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    task_ignore_result=True,
    task_acks_late=False,
    task_publish_retry=False,
    task_track_started=False,
    enable_utc=True,
    # Where it waits: one list.
    task_default_queue=QUEUE,
    task_default_exchange=QUEUE,
    task_default_routing_key=QUEUE,
    task_queues=[Queue(QUEUE, Exchange(QUEUE), routing_key=QUEUE)],
    task_routes={"relay.*": {"queue": QUEUE}},
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # Without remote control a worker hangs for good after a restart of the broker.
    worker_enable_remote_control=True,
    worker_pool="workers.pool:AsyncioPool",
    # Relay's own. The factory takes nothing and gives a `workers.contract.Engine`.
    relay_engine="workers.engine:create",
    # Seconds: the engine's start at most; a cold stop's grace. From Relay's settings come those
    # between two pumps (relay_pump_interval), a warm stop's grace (relay_grace), and how long work
    # may wait without progress before the watchdog ends the worker (relay_watchdog_patience, 0: for
    # ever).
    relay_start_timeout=60.0,
    relay_cold_grace=5.0,
    **celery_settings(),
)
app.steps["worker"].update({EngineStep, WatchdogStep})
app.amqp.argsrepr_maxsize = 120
app.amqp.kwargsrepr_maxsize = 120
