"""Large content on its way out: piece by piece, each when the one before has left this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from relay.errors import RelayError
from relay.mail.transparency import Chunk, DotStuffer
from relay.smtp.pieces import pieces
from relay.smtp.transaction import Transaction


class Outflow:
    """Of one session, for one transaction at a time.

    `write` gets all but the last of the content, `end` the last with what ends it; `fail` hears
    that the content could not be read. After `drop` none of them is called.
    """

    __slots__ = ("_drained", "_end", "_fail", "_loop", "_write", "paused", "task")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        write: Callable[[bytes], None],
        end: Callable[[bytes], None],
        fail: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._write = write
        self._end = end
        self._fail = fail
        self._drained: asyncio.Future[None] | None = None
        #: The kernel took no more.
        self.paused = False
        #: What sends now; None between two contents.
        self.task: asyncio.Task[None] | None = None

    def begin(self, transaction: Transaction, stuffer: Chunk | DotStuffer) -> None:
        """Send a transaction's content."""
        self.task = self._loop.create_task(self._send(transaction, stuffer))
        self.task.add_done_callback(self._sent)

    def drop(self) -> None:
        """Send no more."""
        if self.task is not None:
            self.task.cancel()
            self.task = None

    def resume(self) -> None:
        """The kernel has all that was written."""
        self.paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def _send(self, transaction: Transaction, stuffer: Chunk | DotStuffer) -> None:
        held = b""
        async with aclosing(cast(AsyncGenerator[bytes], pieces(transaction))) as source:
            async for piece in source:
                if held:
                    self._write(stuffer.feed(held))
                    await self._drain()
                held = piece
        self.task = None
        self._end(stuffer.feed(held) + stuffer.end())

    async def _drain(self) -> None:
        if self.paused:
            self._drained = self._loop.create_future()
            await self._drained

    def _sent(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._fail()
        if not isinstance(error, RelayError):
            context = {"message": "reading content failed", "exception": error, "task": task}
            self._loop.call_exception_handler(context)
