"""The role `exporter`: the metrics of the whole fleet, read from the store, for Prometheus."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from relay import log, metrics
from relay.cli import exits
from relay.cli.roles.process import run
from relay.config import Settings, load_settings
from relay.config.values import split_endpoint
from relay.ingress.health import HealthServer


def exporter(arguments: Namespace) -> int:
    """Serve metrics until told to stop."""
    settings = load_settings(arguments.config)
    log.configure(settings.log.format, settings.log.level)
    return run(lambda stop: _serve(settings, stop))


async def _serve(settings: Settings, stop: asyncio.Event) -> int:
    server = HealthServer("exporter", registry=metrics.FLEET)
    host, port = split_endpoint(settings.exporter.listen)
    await server.start(host, port, setting="exporter.listen")
    await stop.wait()
    await server.close()
    return exits.OK
