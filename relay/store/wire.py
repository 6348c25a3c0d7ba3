"""A lean, pipelined client for the two hot paths: hiredis packs and parses, asyncio carries.

Everything said in one turn of the loop leaves in one write, and answers are paired with calls in
order. It repeats nothing: when the connection breaks, all that is in flight ends as
`ConnectionLost`, and the caller says it again with the same tokens on a new connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import hiredis

from relay.errors import StoreUnavailable
from relay.store.address import Address

__all__ = ["Address", "Argument", "ConnectionLost", "NoAnswer", "ReplyError", "Wire"]

Argument = bytes | str | int
#: Takes the answer, or the exception that stands for it.
Callback = Callable[[Any], None]

#: How long a call past its deadline gets once more, in seconds: the answer may lie unread when it
#: was this process that stood still.
_SECOND_LOOK = 0.05
#: Distinguishes "nothing complete yet" from every possible answer.
_INCOMPLETE = object()


class ConnectionLost(StoreUnavailable):
    """The connection broke or no answer came in time: the call may or may not be applied."""


class NoAnswer(ConnectionLost):
    """It was the time for an answer that ended."""


class ReplyError(Exception):
    """The server's own error reply, such as `NOSCRIPT ...` or `OOM ...`; nothing was applied."""

    @property
    def word(self) -> str:
        """The first word, which is the error's kind."""
        return str(self).partition(" ")[0]


class _NotServing(Exception):
    """It listens but does not serve yet, such as a server that still loads its data."""


class Wire(asyncio.Protocol):
    """One connection. Use `Wire.connect`; all methods belong on the loop that made it."""

    def __init__(self, *, timeout: float, most_calls: int, most_octets: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._most_calls = most_calls
        self._most_octets = most_octets
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._in_flight: deque[tuple[Callback, float, int]] = deque()
        self._octets = 0
        self._watch: asyncio.TimerHandle | None = None
        self._closing = False
        self._idle: asyncio.Future[None] | None = None
        self._last_word: Callable[[], None] | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def connect(
        cls,
        address: Address,
        *,
        timeout: float,
        connecting: float = 0.0,
        most_calls: int = 10_000,
        most_octets: int = 64 << 20,
    ) -> Wire:
        """A connection that is ready: authenticated, its database selected.

        `timeout` (seconds) limits each call, and this where `connecting` is 0; `most_calls` and
        `most_octets` what may be in flight. Raises ConnectionLost, or ReplyError where the server
        refuses the password.
        """
        wire = cls(timeout=timeout, most_calls=most_calls, most_octets=most_octets)
        try:
            async with asyncio.timeout(connecting or timeout):
                await wire._open(address)
                await wire._greet(address)
        except (OSError, TimeoutError, _NotServing) as error:
            wire._lose(f"{address}: {error or 'no answer in time'}")
            raise ConnectionLost(f"{address}: {error or 'no answer in time'}") from error
        except BaseException:
            wire._lose(f"{address}: given up while connecting")
            raise
        return wire

    async def _open(self, address: Address) -> None:
        if address.path:
            await self._loop.create_unix_connection(lambda: self, address.path)
            return
        context = address.tls_context()
        await self._loop.create_connection(lambda: self, address.host, address.port, ssl=context)

    async def _greet(self, address: Address) -> None:
        if address.password:
            login = (
                (address.username, address.password) if address.username else (address.password,)
            )
            await self.call("AUTH", *login)
        if address.db:
            await self.call("SELECT", address.db)
        try:
            await self.call("PING")
        except ReplyError as error:
            raise _NotServing(str(error)) from error

    @property
    def closed(self) -> bool:
        """Nothing can be said on this connection any more."""
        return self._closing or self._transport is None

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answer."""
        return len(self._in_flight)

    def call(self, *args: Argument) -> asyncio.Future[Any]:
        """Say a command; the future has the answer (bytes, int, list or None).

        It fails with ReplyError, with ConnectionLost, or with StoreUnavailable where too much is in
        flight and the command was not said.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(partial(_resolve, future), *args)
        return future

    def send(self, callback: Callback, *args: Argument) -> None:
        """Say a command; `callback` gets the answer or the exception, in a later turn."""
        if self.closed:
            self._loop.call_soon(callback, ConnectionLost("the connection is closed"))
            return
        packed = hiredis.pack_command(args)  # type: ignore[arg-type]
        size = len(packed)
        if len(self._in_flight) >= self._most_calls or self._octets + size > self._most_octets:
            self._loop.call_soon(callback, StoreUnavailable("too much in flight to the store"))
            return
        now = self._loop.time()
        self._in_flight.append((callback, now + self._timeout, size))
        self._octets += size
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._look)

    def at_the_end(self, say: Callable[[], None]) -> None:
        """Have `say` called when all of this turn was said, to add to the same write."""
        self._last_word = say

    def abort(self, why: str) -> None:
        """Give it up at once: all that is in flight ends as ConnectionLost."""
        self._lose(why)

    async def close(self) -> None:
        """Wait for the answers in flight (each within its deadline), then close."""
        if self._transport is not None and not self._closing:
            self._closing = True
            if self._in_flight:
                self._idle = self._loop.create_future()
                await self._idle
            self._lose("closed by the caller")
        await self._gone

    def _flush(self) -> None:
        if self._last_word is not None:
            say, self._last_word = self._last_word, None
            say()
        out, self._out = self._out, []
        if self._transport is not None and out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _look(self, suspect: object = None) -> None:
        """End the connection when the oldest call is past its deadline: FIFO, so none is older."""
        self._watch = None
        if not self._in_flight:
            return
        oldest = self._in_flight[0]
        left = oldest[1] - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
        elif suspect is oldest:
            self._lose(f"no answer within {self._timeout} s", NoAnswer)
        else:
            self._watch = self._loop.call_later(_SECOND_LOOK, self._look, oldest)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _INCOMPLETE:
                if not self._in_flight:
                    self._lose("an answer that nobody asked for")
                    return
                callback, _, size = self._in_flight.popleft()
                self._octets -= size
                self._tell(callback, answer)
        except hiredis.ProtocolError as error:
            self._lose(f"not the Redis protocol: {error}")
            return
        if self._idle is not None and not self._in_flight and not self._idle.done():
            self._idle.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(f"connection lost: {exc or 'closed by the server'}")
        if not self._gone.done():
            self._gone.set_result(None)

    def _tell(self, callback: Callback, answer: Any) -> None:
        try:
            callback(answer)
        except Exception as error:  # noqa: BLE001 -- a bug of one caller must not cost the others their answers
            context = {"message": "a callback of the store's client failed", "exception": error}
            self._loop.call_exception_handler(context)

    def _lose(self, why: str, loss: type[ConnectionLost] = ConnectionLost) -> None:
        """Give up the connection, and with it everything in flight."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        elif not self._gone.done():
            self._gone.set_result(None)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._out.clear()
        lost, self._in_flight, self._octets = self._in_flight, deque(), 0
        for callback, _, _ in lost:
            self._tell(callback, loss(why))
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)


def _resolve(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
