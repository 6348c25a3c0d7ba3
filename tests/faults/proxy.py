"""Proxies between a process and its servers: they see what is said, and act at exactly that moment.

    with Switchboard() as board:
        proxy = board.proxy(("127.0.0.1", store.port), StoreTap)
        proxy.trap = Trap(("settle", "before"), act=worker.kill)

The product has no hooks: where a process is to be killed, the words on its connections tell.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import uvloop

from tests.support.ports import free_port

_T = TypeVar("_T")

#: What is said (a script, a command, a part of an SMTP transaction), and before or after what.
Point = tuple[str, str]


class Trap:
    """Waits for a point to be passed, `skip` times over, and then acts, once.

    `act` is called in the proxies' thread; the connection ends right after it, and what was on its
    way is not passed on.
    """

    def __init__(self, point: Point, act: Callable[[Proxy], None], *, skip: int = 0) -> None:
        self.point = point
        self._act = act
        self._skip = skip
        self.sprung = threading.Event()

    def passes(self, point: Point, proxy: Proxy) -> bool:
        """Whether nothing happens here."""
        if point != self.point or self.sprung.is_set():
            return True
        if self._skip:
            self._skip -= 1
            return True
        self._act(proxy)
        self.sprung.set()
        return False


class Tap(Protocol):
    """Reads along on one connection. What the methods return is passed on; `None` for the second
    part: the trap has sprung, nothing more is passed on and the connection ends."""

    def said(self, data: bytes) -> tuple[bytes, bool]:
        """The client says something: what of it is passed on, and whether it goes on."""
        ...

    def answered(self, data: bytes) -> tuple[bytes, bool]:
        """The same of the server's words."""
        ...


class Proxy:
    """One listening port, and where it leads. Set `trap` and the rest at any time."""

    def __init__(
        self, board: Switchboard, upstream: tuple[str, int], tap: Callable[[Proxy], Tap]
    ) -> None:
        self.board = board
        self.upstream = upstream
        self.port = free_port()
        self.tap = tap
        self.trap: Trap | None = None
        #: New connections are refused while this is set.
        self.closed = False
        #: Seconds for which nothing is passed on; what comes meanwhile waits.
        self.stalled = False
        self.links: set[Link] = set()

    def passes(self, *points: Point) -> bool:
        """Whether nothing happens at any of these points."""
        trap = self.trap
        return trap is None or all(trap.passes(point, self) for point in points)

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End all connections."""
        self.board.call(self._each(Link.end))

    def stall(self, on: bool) -> None:
        """Pass nothing on until it is told otherwise; connections stay open."""
        self.stalled = on
        self.board.call(self._each(Link.stall if on else Link.resume))

    async def _each(self, what: Callable[[Link], None]) -> None:
        for link in list(self.links):
            what(link)


class Switchboard:
    """All proxies of a test, in one thread. Use as a context."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self.proxies: list[Proxy] = []
        self._servers: list[asyncio.AbstractServer] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def proxy(self, upstream: tuple[str, int], tap: Callable[[Proxy], Tap]) -> Proxy:
        """A new one, listening."""
        proxy = Proxy(self, upstream, tap)
        self.proxies.append(proxy)
        self.call(self._listen(proxy))
        return proxy

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something in the proxies' thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _listen(self, proxy: Proxy) -> None:
        server = await self._loop.create_server(
            lambda: Client(proxy), "127.0.0.1", proxy.port, backlog=512
        )
        self._servers.append(server)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for proxy in self.proxies:
            for link in list(proxy.links):
                link.end()
        await asyncio.sleep(0)


class Link:
    """One connection through a proxy, both halves."""

    def __init__(self, proxy: Proxy, client: asyncio.Transport) -> None:
        self.proxy = proxy
        self._client = client
        self._server: asyncio.Transport | None = None
        self._tap = proxy.tap(proxy)
        self._early: list[bytes] = []
        self._over = False
        proxy.links.add(self)
        if proxy.stalled:
            client.pause_reading()

    def opened(self, server: asyncio.Transport) -> None:
        """The server accepted."""
        self._server = server
        if self._over:
            server.abort()
            return
        if self.proxy.stalled:
            server.pause_reading()
        for data in self._early:
            self.said(data)
        self._early.clear()

    def said(self, data: bytes) -> None:
        """From the client."""
        if self._server is None:
            self._early.append(data)
        elif not self._over:
            passed, goes_on = self._tap.said(data)
            self._pass(self._server, passed, goes_on)

    def answered(self, data: bytes) -> None:
        """From the server."""
        if not self._over:
            passed, goes_on = self._tap.answered(data)
            self._pass(self._client, passed, goes_on)

    def _pass(self, to: asyncio.Transport, data: bytes, goes_on: bool) -> None:
        if data:
            to.write(data)
        if not goes_on:
            self._over = True
            # What was passed on arrives all the same.
            for half in (self._client, self._server):
                if half is not None:
                    half.close()
            self.proxy.links.discard(self)

    def end(self) -> None:
        """Cut."""
        self._over = True
        self.proxy.links.discard(self)
        for half in (self._client, self._server):
            if half is not None:
                half.abort()

    def stall(self) -> None:
        """See Proxy.stall."""
        for half in (self._client, self._server):
            if half is not None and half.is_reading():
                half.pause_reading()

    def resume(self) -> None:
        """See Proxy.stall."""
        for half in (self._client, self._server):
            if half is not None and not half.is_reading() and not half.is_closing():
                half.resume_reading()


class Client(asyncio.Protocol):
    """The half towards the process that is watched."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        if self._proxy.closed:
            self._transport.abort()
            return
        self._link = Link(self._proxy, self._transport)
        task = asyncio.get_running_loop().create_task(self._open())
        self._task = task

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Server(self._link), *self._proxy.upstream)
        except OSError:
            self._link.end()

    def data_received(self, data: bytes) -> None:
        if not self._proxy.closed:
            self._link.said(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "_link"):
            self._link.end()


class Server(asyncio.Protocol):
    """The half towards the server."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link.opened(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self._link.answered(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.end()
