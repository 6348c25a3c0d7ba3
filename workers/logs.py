"""A worker's log is Relay's: Celery does not set up one of its own."""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import setup_logging

from relay import log
from relay.config import load_settings

#: They say two lines a task, and a task is but a wake-up.
_CHATTY = ("celery.worker.strategy", "celery.app.trace")


@setup_logging.connect
def configure(**_: Any) -> None:
    """Called by Celery before anything is logged; that somebody answers keeps its own away."""
    settings = load_settings()
    log.configure(settings.log.format, settings.log.level, conceal=settings.log.conceal)
    if settings.log.level != "debug":
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
