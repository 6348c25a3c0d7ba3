"""The role `smtp`: reception over a submitter that admits into the store and rings the workers."""

from __future__ import annotations

import asyncio
import contextlib
from argparse import Namespace

from relay import heap, log
from relay.cli import exits
from relay.cli.roles.accepting import accepting
from relay.cli.roles.counts import ReceptionCounts
from relay.cli.roles.doors import listeners, receiver_options
from relay.cli.roles.endpoint import endpoint
from relay.cli.roles.identity import identity
from relay.cli.roles.process import run
from relay.config import Settings, load_settings
from relay.ingress.access import Limits
from relay.ingress.reception import ReceptionOptions
from relay.ingress.renewal import Certificate
from relay.ingress.smtp import serve
from relay.mail import answers

_log = log.logger("relay.smtp")

#: Seconds that sessions have to end when the role is told to stop.
_GRACE = 10.0


def smtp(arguments: Namespace) -> int:
    """Accept messages until told to stop."""
    settings = load_settings(arguments.config)
    log.configure(settings.log.format, settings.log.level, conceal=settings.log.conceal)
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


async def _serve(settings: Settings, stop: asyncio.Event) -> int:
    tls = settings.smtp.tls
    # What is wrong with the settings is told before anything is done.
    places = listeners(settings)
    certificate = Certificate(tls.certificate, tls.key) if tls.certificate else None
    async with contextlib.AsyncExitStack() as stack:
        parts = await stack.enter_async_context(accepting(settings))
        await stack.enter_async_context(endpoint(settings, "smtp", lambda: parts.reasons(stop)))
        logins = identity(settings, parts.client)
        stack.callback(logins.close)
        server = await serve(
            parts.submitter,
            reception_options(settings),
            places,
            tls=certificate.tls if certificate is not None else None,
            logins=logins,
            metrics=ReceptionCounts(),
            check=lambda _sender, _recipient: answers.NO_ROOM if parts.full() else None,
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
