"""The endpoint of every role for machines that watch it: /metrics, /health/live and /health/ready.

A small HTTP/1.1 server: GET and HEAD only, one request a connection, everything bounded. It has no
authentication, so it listens on loopback unless the settings say otherwise.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from relay import log, metrics
from relay.errors import ConfigError
from relay.version import __version__

#: Gives the reasons why a role is not well, in words; none where all is well.
Reasons = Callable[[], Sequence[str]]

_OPENMETRICS_TYPE = "application/openmetrics-text"
_OPENMETRICS = f"{_OPENMETRICS_TYPE}; version=1.0.0"
_MOST_REQUEST = 8192
#: Texts below this many octets are not worth compressing.
_SMALL = 2048
_STATUS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


_log = log.logger("relay.health")


class HealthOptions(Struct, frozen=True):
    """How the endpoint behaves; times in seconds."""

    #: Connections at once; those above are closed at once.
    most_connections: int = 32
    #: From connecting to having asked, and from the answer to its having been read.
    patience: float = 5.0
    #: How often the lag of the event loop is sampled.
    sample: float = 1.0


class Answer(Struct, frozen=True):
    """What goes back to a client."""

    status: int
    content_type: str
    body: bytes
    encoding: str = ""

    def wire(self, *, head: bool) -> bytes:
        """The response as octets, without its body where only the head was asked for."""
        lines = [
            f"HTTP/1.1 {self.status} {_STATUS[self.status]}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        ]
        if self.encoding:
            lines += [f"Content-Encoding: {self.encoding}", "Vary: Accept-Encoding"]
        if self.status == 405:
            lines.append("Allow: GET, HEAD")
        return "\r\n".join([*lines, "", ""]).encode() + (b"" if head else self.body)


class HealthServer:
    """Serves a role's metrics and health, and samples how late its event loop runs."""

    def __init__(
        self,
        role: str,
        *,
        ready: Reasons = tuple,
        live: Reasons = tuple,
        registry: CollectorRegistry = metrics.PROCESS,
        options: HealthOptions | None = None,
    ) -> None:
        self._role = role
        self._reasons = {"live": live, "ready": ready}
        self._registry = registry
        self._options = options or HealthOptions()
        self._connections: set[_Connection] = set()
        self._rendering: dict[str, asyncio.Future[Answer]] = {}
        self._server: asyncio.Server | None = None
        self._sampling: asyncio.TimerHandle | None = None
        #: Where it listens, once it was started: tells the port where 0 was asked for.
        self.port = 0

    async def start(self, host: str, port: int, *, setting: str) -> None:
        """Listen. Raises ConfigError naming `setting` where the address cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(partial(_Connection, self), host, port)
        except OSError as error:
            raise ConfigError([_unusable(setting, host, port, error)]) from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._sample(loop, loop.time())

    async def close(self) -> None:
        """Stop listening and drop the connections."""
        if self._sampling is not None:
            self._sampling.cancel()
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._connections):
                connection.drop()
            await self._server.wait_closed()

    def _sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        late = loop.time() - due
        metrics.LOOP_LAG_SECONDS.observe(max(0.0, late))
        due = loop.time() + self._options.sample
        self._sampling = loop.call_at(due, self._sample, loop, due)

    def health(self, kind: str) -> Answer:
        """What /health/live or /health/ready says now."""
        reasons = list(self._reasons[kind]())
        said = {
            "status": "failing" if reasons else "ok",
            "role": self._role,
            "version": __version__,
            "reasons": reasons,
        }
        return Answer(503 if reasons else 200, "application/json", msgspec.json.encode(said))

    async def metrics(self, accept: str, *, compressed: bool) -> Answer:
        """The metrics, rendered in a thread; who asks meanwhile gets the same answer."""
        # Not the client's own words: they would come back in a header, and make more formats.
        render, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS_TYPE in accept else "")
        shared = f"{content_type} {compressed}"
        if shared not in self._rendering:
            loop = asyncio.get_running_loop()
            rendering = loop.run_in_executor(None, self._rendered, render, content_type, compressed)
            self._rendering[shared] = rendering
            rendering.add_done_callback(lambda _: self._rendering.pop(shared))
        return await asyncio.shield(self._rendering[shared])

    def _rendered(
        self, render: Callable[[CollectorRegistry], bytes], content_type: str, compressed: bool
    ) -> Answer:
        body = render(self._registry)
        if compressed and len(body) > _SMALL:
            return Answer(200, content_type, gzip.compress(body, 1), "gzip")
        return Answer(200, content_type, body)

    def admit(self, connection: _Connection) -> bool:
        """Whether a new connection may stay."""
        if len(self._connections) >= self._options.most_connections:
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    @property
    def patience(self) -> float:
        """How long a client may take, in seconds."""
        return self._options.patience


class _Connection(asyncio.Protocol):
    """One client: a request in, an answer out, closed."""

    def __init__(self, server: HealthServer) -> None:
        self._server = server
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the request, for so long and no longer."""
        # Not checked by isinstance: uvloop's transports do not descend from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        if self._server.admit(self):
            self._limit_time()
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._server.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._answering is not None:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        """Take in the request; what follows it is of no interest."""
        if self._answering is not None:
            return
        self._received += data
        if len(self._received) > _MOST_REQUEST:
            self._send(_text(431, "too large"), head=False)
        elif b"\r\n\r\n" in self._received:
            self._answering = asyncio.get_running_loop().create_task(self._answer())
            self._answering.add_done_callback(self._answered)

    def drop(self) -> None:
        """Close at once: the time is over, or the server is."""
        if self._transport is not None:
            self._transport.abort()

    def _answered(self, answering: asyncio.Task[None]) -> None:
        if not answering.cancelled() and answering.exception() is not None:
            _log.error("no answer could be made", exc_info=answering.exception())
            self._send(_text(500, "no answer could be made"), head=False)

    async def _answer(self) -> None:
        head, _, _ = bytes(self._received).partition(b"\r\n\r\n")
        request, *lines = head.decode("latin-1").split("\r\n")
        words = request.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            self._send(_text(400, "not HTTP/1.1"), head=False)
        elif words[0] not in ("GET", "HEAD"):
            self._send(_text(405, "GET and HEAD only"), head=False)
        else:
            answer = await self._found(words[1].partition("?")[0], _headers(lines))
            self._send(answer, head=words[0] == "HEAD")

    async def _found(self, path: str, headers: dict[str, str]) -> Answer:
        if path == "/metrics":
            compressed = "gzip" in headers.get("accept-encoding", "")
            return await self._server.metrics(headers.get("accept", ""), compressed=compressed)
        if path in ("/health/live", "/health/ready"):
            return self._server.health(path.rpartition("/")[2])
        return _text(404, "try /metrics, /health/live or /health/ready")

    def _send(self, answer: Answer, *, head: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._limit_time()
        self._transport.write(answer.wire(head=head))
        self._transport.close()

    def _limit_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._server.patience, self.drop)


def _headers(lines: Sequence[str]) -> dict[str, str]:
    split = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip().lower() for name, _, value in split}


def _text(status: int, said: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{said}\n".encode())


def _unusable(setting: str, host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{setting}: port {port} on {host} is taken; stop what uses it, or set another one"
    return f"{setting}: cannot listen on {host} port {port}: {error.strerror or error}"
