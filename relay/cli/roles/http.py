"""The role `http`: the HTTP API, over a submitter that admits and rings the workers."""

from __future__ import annotations

import asyncio
import logging
from argparse import Namespace
from ipaddress import ip_network

from relay import heap, log
from relay.api.intake import Intake, Origin
from relay.cli import exits
from relay.cli.roles.accepting import Accepting, accepting
from relay.cli.roles.endpoint import endpoint
from relay.cli.roles.identity import identity
from relay.cli.roles.process import run
from relay.cli.who import own_name
from relay.config import Settings, load_settings
from relay.config.values import split_endpoint
from relay.console.complaints import ComplaintDesk
from relay.console.events import Events
from relay.console.status import StoreConsole
from relay.identity import Identity
from relay.identity.registry import Registry
from relay.ingress.http.app import application
from relay.ingress.http.bodies import Bodies
from relay.ingress.http.callers import Callers
from relay.ingress.http.server import HttpServer
from relay.ingress.http.service import HttpOptions, Service
from relay.ingress.listener import Listen, server_tls
from relay.mail.compose import Limits
from relay.mail.trace import received_by
from relay.store.identity import IdentityStore
from relay.store.index import index_of

_log = log.logger("relay.http")

#: Seconds that requests have to end when the role is told to stop.
_GRACE = 10.0


def http(arguments: Namespace) -> int:
    """Accept messages until told to stop."""
    settings = load_settings(arguments.config)
    log.configure(settings.log.format, settings.log.level)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return run(lambda stop: _serve(settings, stop))


def service(settings: Settings, parts: Accepting, who: Identity, stop: asyncio.Event) -> Service:
    """What the API works with, from the settings."""
    limits, own = settings.smtp.limits, settings.http.limits
    name = own_name(settings)
    origin = Origin(
        way="http",
        limits=Limits(recipients=limits.recipients, size=limits.message_size),
        longest_ms=round(settings.retry.max_age * 1000),
        trace=lambda message, date: received_by(name, "HTTP", message, date),
    )
    partitions = settings.store.partitions
    return Service(
        submitter=parts.submitter,
        intake=Intake(parts.submitter, origin),
        console=StoreConsole(parts.client, partitions, parts.doorbell.ring),
        events=Events(parts.client, partitions),
        complaints=ComplaintDesk(parts.client, partitions, own_name(settings)),
        callers=Callers(
            who,
            networks=[ip_network(network) for network in settings.open_networks],
            tenant=settings.http.tenant,
            proxies=[ip_network(network) for network in settings.http.proxies],
        ),
        identity=who,
        registry=Registry(IdentityStore(parts.client)),
        bodies=Bodies(most=own.body, memory=own.memory, seconds=own.body_time),
        options=HttpOptions(
            batch=own.batch,
            requests=own.requests,
            streams=own.streams,
            index=index_of(settings.store.index),
        ),
        stopping=stop,
    )


async def _serve(settings: Settings, stop: asyncio.Event) -> int:
    tls = settings.http.tls
    places = [split_endpoint(place) for place in settings.http.listen]
    async with (
        accepting(settings) as parts,
        endpoint(settings, "http", lambda: parts.reasons(stop)),
    ):
        who = identity(settings, parts.client)
        server = HttpServer(
            application(service(settings, parts, who, stop)),
            connections=settings.http.limits.connections,
            grace=_GRACE,
            tls=server_tls(tls.certificate, tls.key, setting="http.tls") if tls.key else None,
        )
        await server.start(
            [Listen(host, port, "http.listen", shared=True) for host, port in places]
        )
        heap.settle()
        _log.info("listening", places=", ".join(settings.http.listen))
        await stop.wait()
        await server.stop()
        who.close()
    return exits.OK
