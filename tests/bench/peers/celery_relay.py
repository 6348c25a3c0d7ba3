"""The naive way to send mail with Celery: one task for each message, as tutorials show it.

A task opens a session, sends one message, and closes it. Celery retries what fails, and a message
of a killed worker is not lost (`acks_late`). In its favour: the MX of a domain is looked up once.
"""

from __future__ import annotations

import functools
import os
import smtplib
from pathlib import Path

import dns.resolver
from celery import Celery
from celery.signals import worker_ready

#: Set by whoever starts this: the broker's URL, and the file that says that the worker is ready.
BROKER, READY = "RELAY_BENCH_BROKER", "RELAY_BENCH_READY"
_PORT = 25
_TIMEOUT_S = 60

app = Celery("naive", broker=os.environ[BROKER])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3600},
)


@worker_ready.connect
def _tell(**_: object) -> None:
    Path(os.environ[READY]).touch()


@app.task(
    autoretry_for=(OSError, smtplib.SMTPException),
    retry_backoff=5,
    retry_backoff_max=600,
    max_retries=None,
)
def send(sender: str, recipient: str, message: str) -> None:
    """Deliver one message to one recipient."""
    host = _host(recipient.rpartition("@")[2])
    with smtplib.SMTP(host, _PORT, "celery.bench.test", _TIMEOUT_S) as session:
        session.sendmail(sender, [recipient], message)


@functools.cache
def _host(domain: str) -> str:
    best = min(dns.resolver.resolve(domain, "MX"), key=lambda one: int(one.preference))
    return str(best.exchange).rstrip(".")
