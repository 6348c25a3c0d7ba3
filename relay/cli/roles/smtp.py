"""The role `smtp`: reception over a submitter that admits into the store and rings the workers."""

from __future__ import annotations

import asyncio
import contextlib
from argparse import Namespace
from pathlib import Path

from relay import heap, log
from relay.cli import exits
from relay.cli.roles.counts import ReceptionCounts
from relay.cli.roles.doors import listeners, receiver_options
from relay.cli.roles.endpoint import endpoint
from relay.cli.roles.identity import identity
from relay.cli.roles.process import run
from relay.config import Settings, load_settings
from relay.ingress.access import Limits
from relay.ingress.fullness import Fullness
from relay.ingress.reception import ReceptionOptions
from relay.ingress.renewal import Certificate
from relay.ingress.smtp import serve
from relay.mail import answers
from relay.store.access import Access
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import ClientOptions, StoreClient
from relay.store.control import Control
from relay.store.doorbell import Doorbell
from relay.store.servers import servers_of
from relay.submission import Submitter

_log = log.logger("relay.smtp")

#: Seconds that sessions have to end when the role is told to stop.
_GRACE = 10.0
#: Connections over which messages go into the store.
_CONNECTIONS = 8


def smtp(arguments: Namespace) -> int:
    """Accept messages until told to stop."""
    settings = load_settings(arguments.config)
    log.configure(settings.log.format, settings.log.level)
    return run(lambda stop: _serve(settings, stop))


def reception_options(settings: Settings) -> ReceptionOptions:
    """Reception's limits from the settings."""
    limits = settings.smtp.limits
    return ReceptionOptions(
        receiver_options(settings),
        idle=limits.idle,
        message_time=limits.message_time,
        clients=Limits(
            connections=limits.connections,
            per_client=limits.connections_per_address,
            connection_rate=limits.connection_rate,
            stranger_rate=limits.stranger_rate,
            message_rate=limits.message_rate,
            error_rate=limits.error_rate,
        ),
        memory=limits.memory,
        key_field=settings.smtp.idempotency_field,
    )


def _reasons(client: StoreClient, full: Fullness, stop: asyncio.Event) -> list[str]:
    """Why messages are not accepted just now."""
    reasons = [full.reason] if full.reason else []
    if not client.connected:
        reasons.append("the store cannot be reached")
    if stop.is_set():
        reasons.append("it is being stopped")
    return reasons


async def _serve(settings: Settings, stop: asyncio.Event) -> int:
    store, tls = settings.store, settings.smtp.tls
    # What is wrong with the settings is told before anything is done.
    places = listeners(settings)
    certificate = Certificate(tls.certificate, tls.key) if tls.certificate else None
    async with contextlib.AsyncExitStack() as stack:
        access = Access(
            servers_of(store.url),
            store.durability,
            ClientOptions(patience=store.timeout),
            connections=_CONNECTIONS,
        )
        stack.push_async_callback(access.close)
        await access.open(store.partitions, store.replicas)
        client = access.client
        doorbell = Doorbell(servers_of(settings.broker.url))
        stack.push_async_callback(doorbell.close)
        full = Fullness(
            client,
            memory_high=store.memory_high,
            disk_low=store.disk_low,
            disk=Path(settings.data) / "store",
            tenant_share=store.tenant_share,
            partitions=store.partitions,
        )
        watch = asyncio.create_task(full.watch())
        stack.callback(watch.cancel)
        options = AdmissionOptions(
            idempotency_ms=round(store.idempotency * 1000),
            deadline_ms=round(settings.lease.deadline * 1000),
        )
        admission = Admission(access.accepting, store.partitions, options, full.share)
        await stack.enter_async_context(
            endpoint(settings, "smtp", lambda: _reasons(client, full, stop))
        )
        logins = identity(settings, client)
        stack.callback(logins.close)
        server = await serve(
            Submitter(
                admission,
                store.partitions,
                doorbell.ring,
                full,
                Control(client, store.partitions).withdraw,
            ),
            reception_options(settings),
            places,
            tls=certificate.tls if certificate is not None else None,
            logins=logins,
            metrics=ReceptionCounts(),
            check=lambda _sender, _recipient: answers.NO_ROOM if full() else None,
        )
        if certificate is not None:
            renewal = asyncio.create_task(certificate.watch(server.use_certificate))
            stack.callback(renewal.cancel)
        heap.settle()
        own = settings.submission
        _log.info(
            "listening", places=", ".join((*settings.smtp.listen, *own.listen, *own.implicit_tls))
        )
        await stop.wait()
        await server.stop(_GRACE)
    return exits.OK
