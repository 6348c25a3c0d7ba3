"""Relay: the client for code without asyncio. A thread of its own runs the loop of an AsyncRelay.

It may be shared by threads. After a fork the child makes a loop and connections of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from datetime import datetime
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import uvloop

from relay.api.client import AsyncRelay, transport
from relay.api.contract import Cancelled, Event, Rescheduled, Result, Status
from relay.api.given import Fields, Given
from relay.errors import RelayError
from relay.mail.message import Message
from relay.submission import Accepted

_Answer = TypeVar("_Answer")
#: Seconds that closing waits for the loop's thread.
_LAST = 70.0


class Relay:
    """See AsyncRelay: the same arguments, methods and errors. It connects at the first call."""

    def __init__(
        self, url: str = "", *, broker: str = "", token: str = "", timeout: float = 60.0
    ) -> None:
        self._arguments = {"broker": broker, "token": token, "timeout": timeout}
        self._url = url
        transport(url, broker=broker, token=token, timeout=timeout)
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def __enter__(self) -> Self:
        self._loop()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is under way, and disconnect; the next call connects again."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None and running.pid == os.getpid():
            running.end()

    def submit(
        self, message: Message | EmailMessage | bytes | None = None, **fields: Unpack[Fields]
    ) -> Accepted:
        """See AsyncRelay.submit."""
        running = self._loop()
        return running.run(running.client.submit(message, **fields))

    def submit_many(
        self, messages: Iterable[Given], *, return_errors: bool = False
    ) -> list[Result]:
        """See AsyncRelay.submit_many."""
        running = self._loop()
        return running.run(running.client.submit_many(messages, return_errors=return_errors))

    def status(self, id: str) -> Status:  # noqa: A002 - what everybody calls it
        """See AsyncRelay.status."""
        running = self._loop()
        return running.run(running.client.status(id))

    def wait(self, id: str, timeout: float = 60.0) -> Status:  # noqa: A002
        """See AsyncRelay.wait."""
        running = self._loop()
        return running.run(running.client.wait(id, timeout))

    def cancel(self, id: str) -> Sequence[Cancelled]:  # noqa: A002
        """See AsyncRelay.cancel."""
        running = self._loop()
        return running.run(running.client.cancel(id))

    def reschedule(
        self,
        id: str,  # noqa: A002
        at: datetime | None = None,
    ) -> Sequence[Rescheduled]:
        """See AsyncRelay.reschedule."""
        running = self._loop()
        return running.run(running.client.reschedule(id, at))

    def events(self, after: str = "") -> Iterator[Event]:
        """See AsyncRelay.events."""
        running = self._loop()
        following = running.client.events(after)
        try:
            while True:
                yield running.run(_next(following))
        finally:
            running.run(_closed(following))

    def _loop(self) -> _Running:
        with self._lock:
            running = self._running
            if running is None or running.pid != os.getpid():
                # What a parent's loop had open is the parent's: it is left alone.
                self._running = running = _Running(AsyncRelay(self._url, **self._arguments))  # type: ignore[arg-type]
            return running


class _Running:
    """A loop in a thread, and the client that lives on it."""

    def __init__(self, client: AsyncRelay) -> None:
        self.client = client
        self.pid = os.getpid()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        try:
            self.run(client.open())
        except BaseException:
            self._stop()
            raise

    def run(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        """What it answers; interrupting the wait cancels it."""
        asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return asked.result()
        except BaseException:
            asked.cancel()
            raise

    def end(self) -> None:
        """Close the client and stop the loop."""
        try:
            self.run(self.client.close())
        except RelayError:
            pass
        finally:
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LAST)
        self._loop.close()


async def _next(following: Any) -> Event:
    event: Event = await anext(following)
    return event


async def _closed(following: Any) -> None:
    await following.aclose()
