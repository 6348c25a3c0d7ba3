"""The HTTP server: uvicorn on sockets of ours, with bounds on what comes before a body."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from relay.ingress.listener import Listen, open_listeners

#: Octets of a request's header section at most, and seconds that it may take.
MOST_HEADER = 64 << 10
HEADER_TIME = 15.0
#: Seconds that an idle connection is kept.
IDLE = 30
#: Seconds between two looks at the clock.
_TICK = 1.0
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class Connection(HttpToolsProtocol):
    """uvicorn's, which itself would wait for a header section of any length, for any time."""

    _received = 0
    _heard: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is awaited."""
        super().connection_made(transport)
        self._await_header()

    def data_received(self, data: bytes) -> None:
        """Counts what comes until a header section is complete."""
        if self._heard is None and (self.cycle is None or self.cycle.response_complete):
            self._await_header()
        if self._heard is not None:
            self._received += len(data)
        super().data_received(data)
        if self._heard is not None and self._received > MOST_HEADER:
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """A request begins."""
        self._rest()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._rest()
        super().connection_lost(exc)

    def _await_header(self) -> None:
        self._received = 0
        self._heard = self.loop.call_later(HEADER_TIME, self._give_up)

    def _rest(self) -> None:
        if self._heard is not None:
            self._heard.cancel()
            self._heard = None

    def _give_up(self) -> None:
        self._heard = None
        self.transport.close()


class _Server(uvicorn.Server):
    """Signals are the role's own to hear."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._ends = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell so."""
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Wait until it is to end. uvicorn looks ten times a second, which is most of what an idle
        server costs; once is enough for the date in its answers."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await self._ends.wait()

    def end(self) -> None:
        """Take no more, and finish what is under way."""
        self.should_exit = True
        self._ends.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None is captured."""
        yield


class HttpServer:
    """Serves an application until it is stopped."""

    def __init__(
        self, app: ASGIApp, *, connections: int, grace: float, tls: ssl.SSLContext | None = None
    ) -> None:
        """`grace`: seconds that requests under way have when it stops."""
        config = uvicorn.Config(
            cast(Any, app),
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            limit_concurrency=connections,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=round(grace),
        )
        config.load()
        config.ssl = tls
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None
        #: Where it listens.
        self.addresses: list[tuple[str, int]] = []

    async def start(self, listeners: Sequence[Listen]) -> None:
        """Listen. Raises ConfigError naming the settings of all listeners that cannot be had."""
        sockets = open_listeners(listeners)
        self.addresses = [one.getsockname()[:2] for one in sockets]
        self._serving = asyncio.create_task(self._server.serve(sockets=sockets))
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait((self._serving, listening), return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            self._serving.result()

    async def stop(self) -> None:
        """Take no more, finish what is under way, and end."""
        self._server.end()
        if self._serving is not None:
            await self._serving
