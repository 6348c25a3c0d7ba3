"""The role `worker`: a Celery worker with Relay's app, which takes this process over."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import NoReturn

from relay.config import load_settings
from relay.config.load import settings_file


def worker(arguments: Namespace) -> NoReturn:
    """Become `celery -A workers.app worker`, with further options of Celery's behind `--`.

    Settings are checked first, so that a fault in them is told as everywhere else.
    """
    settings = load_settings(arguments.config)
    file = settings_file(arguments.config, os.environ)
    env = dict(os.environ, RELAY_CONFIG=str(file.absolute())) if file else dict(os.environ)
    celery = [sys.executable, "-m", "celery", "-A", "workers.app", "worker"]
    # Celery tells workers apart by name, and several may run on one machine. Mingling would only
    # cost a second at the start: it is for clocks and revokes that tasks here have no use for.
    name = f"relay-{os.getpid()}@%h"
    options = ["--loglevel", settings.log.level, "--hostname", name, "--without-mingle"]
    # Every two by default, which an idle worker has little else to do than. Who watches events is
    # told how long it is, and takes a worker for gone after twice that.
    options += ["--heartbeat-interval", "10"]
    os.execve(sys.executable, [*celery, *options, *arguments.celery], env)  # noqa: S606
