"""The role `exporter`: the metrics of the whole fleet, read from the store, for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
from argparse import Namespace

from relay import log, metrics
from relay.cli import exits
from relay.cli.roles.process import run
from relay.config import Settings, load_settings
from relay.config.values import split_endpoint
from relay.console.fleet import PATIENCE, Fleet
from relay.ingress.health import HealthServer
from relay.store.client import ClientOptions
from relay.store.cluster import client_of
from relay.store.doorbell import Doorbell
from relay.store.servers import servers_of, single


def exporter(arguments: Namespace) -> int:
    """Serve metrics until told to stop."""
    settings = load_settings(arguments.config)
    log.configure(settings.log.format, settings.log.level, conceal=settings.log.conceal)
    return run(lambda stop: _serve(settings, stop))


async def _serve(settings: Settings, stop: asyncio.Event) -> int:
    async with contextlib.AsyncExitStack() as stack:
        # Not started: the exporter is there, and says so, also while the store is not.
        client = client_of(
            servers_of(settings.store.url), ClientOptions(patience=PATIENCE, timeout=PATIENCE)
        )
        stack.push_async_callback(client.close)
        doorbell = Doorbell(single(settings.broker.url))
        stack.push_async_callback(doorbell.close)
        fleet = Fleet(
            client,
            settings.store.partitions,
            doorbell,
            deadline_ms=round(settings.lease.deadline * 1000),
            names=settings.metrics.names,
            tenant_share=_tenant_share(settings),
        )
        server = HealthServer("exporter", ready=lambda: fleet.faults, registry=metrics.FLEET)
        host, port = split_endpoint(settings.exporter.listen)
        await server.start(host, port, setting="exporter.listen")
        stack.push_async_callback(server.close)
        watch = asyncio.create_task(fleet.watch())
        stack.push_async_callback(_ended, watch)
        await stop.wait()
    return exits.OK


def _tenant_share(settings: Settings) -> float:
    """Of the store's memory, for one tenant; 0 where it may use all that intake may."""
    store = settings.store
    return store.memory_high * store.tenant_share if store.tenant_share < 1 else 0.0


async def _ended(watch: asyncio.Task[None]) -> None:
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
