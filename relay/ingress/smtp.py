"""The SMTP server: listeners, the sessions behind them, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Sequence
from functools import partial

from relay.ingress.access import LOOPBACK, Network
from relay.ingress.connection import Connection
from relay.ingress.door import Door
from relay.ingress.listener import BACKLOG, Listen, open_listeners
from relay.ingress.reception import (
    Logins,
    NoMetrics,
    Reception,
    ReceptionMetrics,
    ReceptionOptions,
    Submitter,
)
from relay.mail import answers
from relay.mail.transaction import RecipientCheck

#: Seconds between two looks for silent and slow clients, at most.
LONGEST_TICK = 1.0
#: Seconds that sessions have to take their last reply once the grace time of a stop is over.
LAST_REPLY = 1.0


class SmtpServer:
    """Takes messages in over SMTP and hands them to the submitter.

    `networks`: clients that may submit messages; all others are refused each recipient (default
    deny). `tls`: see `server_tls`. `logins`: where AUTH is looked up. `check`: asked for each
    recipient. A listener with a door of its own goes by that.
    """

    def __init__(
        self,
        submitter: Submitter,
        options: ReceptionOptions,
        *,
        networks: Iterable[Network] = LOOPBACK,
        tls: ssl.SSLContext | None = None,
        logins: Logins | None = None,
        metrics: ReceptionMetrics | None = None,
        check: RecipientCheck | None = None,
    ) -> None:
        self._reception = Reception(
            submitter,
            options,
            door=Door(receiver=options.receiver, networks=tuple(networks)),
            tls=tls,
            logins=logins,
            metrics=metrics or NoMetrics(),
            check=check,
        )
        times = (options.idle, options.message_time, options.rate_grace)
        self._tick = min(LONGEST_TICK, *(time / 4 for time in times))
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        #: Where it listens: address and port of each listener, in the order they were asked for.
        self.addresses: list[tuple[str, int]] = []

    async def start(self, listeners: Sequence[Listen]) -> None:
        """Listen. Raises ConfigError naming the settings of all listeners that cannot be had."""
        loop = asyncio.get_running_loop()
        for listen, opened in zip(listeners, open_listeners(listeners), strict=True):
            host, port = opened.getsockname()[:2]
            self.addresses.append((host, port))
            factory = partial(self._connection, listen.door or self._reception.door)
            self._servers.append(await loop.create_server(factory, sock=opened, backlog=BACKLOG))

    def use_certificate(self, tls: ssl.SSLContext) -> None:
        """Begin new TLS sessions with this; those that are open go on with theirs."""
        self._reception.tls = tls

    async def stop(self, grace: float) -> None:
        """End all sessions: quiet ones now, others after their message, all within `grace` seconds.

        A message that was not answered by then may still be accepted: the client will ask again.
        """
        reception = self._reception
        reception.stopping = True
        for server in self._servers:
            server.close()
        for connection in tuple(reception.connections):
            connection.end_if_quiet()
        await self._wait_until_empty(grace)
        for connection in tuple(reception.connections):
            connection.end(answers.SHUTTING_DOWN)
        await self._wait_until_empty(LAST_REPLY)
        if self._timer is not None:
            self._timer.cancel()
        for connection in (*reception.connections, *reception.unnamed):
            connection.abort()
        await self._wait_until_empty(LAST_REPLY)

    async def _wait_until_empty(self, seconds: float) -> None:
        if self._reception.connections:
            self._reception.empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reception.empty.wait(), seconds)

    def _connection(self, door: Door) -> Connection:
        self._watch()
        return Connection(self._reception, door)

    def _watch(self) -> None:
        """One timer for all sessions: a timer each would cost more than the commands they send."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._tick, self._look_around)

    def _look_around(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._reception.connections):
            connection.check(now)
        for connection in tuple(self._reception.unnamed):
            connection.check_header(now)
        if self._reception.connections or self._reception.unnamed:
            self._watch()


async def serve(
    submitter: Submitter,
    options: ReceptionOptions,
    listeners: Sequence[Listen],
    *,
    networks: Iterable[Network] = LOOPBACK,
    tls: ssl.SSLContext | None = None,
    logins: Logins | None = None,
    metrics: ReceptionMetrics | None = None,
    check: RecipientCheck | None = None,
) -> SmtpServer:
    """A server that listens. Raises ConfigError as `SmtpServer.start` does."""
    server = SmtpServer(
        submitter,
        options,
        networks=networks,
        tls=tls,
        logins=logins,
        metrics=metrics,
        check=check,
    )
    await server.start(listeners)
    return server
