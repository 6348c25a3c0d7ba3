"""AsyncRelay: the client for asyncio, over whichever way its URL names."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from email.message import EmailMessage
from types import TracebackType
from typing import Self, Unpack

from relay.api.contract import Cancelled, Event, Rescheduled, Result, Status, Transport
from relay.api.direct import Direct, DirectOptions
from relay.api.given import Fields, Given, message_of
from relay.api.remote import Remote, RemoteOptions
from relay.config import load_settings
from relay.errors import ConfigError, SomeRefused
from relay.mail.message import Message
from relay.store.address import split_url
from relay.submission import Accepted

#: Messages in one batch of `submit_many`, and batches on their way at once.
MOST_AT_ONCE = 250
_MOST_BATCHES = 4
#: Seconds between two looks of `wait`: the first, and the longest.
_LOOK = (0.02, 1.0)


class AsyncRelay:
    """A client; use it as an async context, or call `open` and `close`.

    `url` is the store's (redis, rediss or unix; then `broker` has workers rung at once), or that of
    the HTTP API (http or https, with a `token`). Without any, the settings' store and broker are
    taken: relay.toml, RELAY_ variables, or the `relay up` that runs on the data directory.
    `timeout` is how long a call is repeated, in seconds. Raises ConfigError where these do not fit.
    """

    def __init__(
        self, url: str = "", *, broker: str = "", token: str = "", timeout: float = 60.0
    ) -> None:
        self._transport = transport(url, broker=broker, token=token, timeout=timeout)
        self._opened = False

    async def open(self) -> Self:
        """Connect. Raises StoreUnavailable where that fails."""
        if not self._opened:
            await self._transport.open()
            self._opened = True
        return self

    async def close(self) -> None:
        """Wait for what is under way, and disconnect."""
        if self._opened:
            self._opened = False
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def submit(
        self, message: Message | EmailMessage | bytes | None = None, **fields: Unpack[Fields]
    ) -> Accepted:
        """Submit a message, given whole or by its fields; it is durable when this returns.

        Fields that go with a whole message replace its own. Raises InvalidMessage,
        IdempotencyConflict, SubmissionRefused, AccessDenied, TooMuch, StoreUnavailable: after the
        last the message may still have been accepted, so give an `idempotency_key` and say it
        again.
        """
        return await self._transport.submit(message_of(message, fields))

    async def submit_many(
        self, messages: Iterable[Given], *, return_errors: bool = False
    ) -> list[Result]:
        """Submit many messages, and have a result for each, in their order.

        Where some are not accepted SomeRefused is raised, with all results in it; with
        `return_errors` their errors stand among the results instead.
        """
        results: list[Result] = []
        under_way: deque[asyncio.Task[list[Result]]] = deque()
        try:
            for batch in _batches(messages):
                under_way.append(asyncio.create_task(self._transport.submit_many(batch)))
                # The next batch is made while the ones before it are on their way.
                await asyncio.sleep(0)
                if len(under_way) == _MOST_BATCHES:
                    results += await under_way.popleft()
            while under_way:
                results += await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
        if not return_errors and any(isinstance(one, Exception) for one in results):
            raise SomeRefused(results)
        return results

    async def status(self, id: str) -> Status:  # noqa: A002 - what everybody calls it
        """What has become of a message, recipient by recipient. Raises NoSuchMessage."""
        return await self._transport.status(id)

    async def wait(self, id: str, timeout: float = 60.0) -> Status:  # noqa: A002
        """The status once each recipient has its outcome. Raises TimeoutError, NoSuchMessage."""
        deadline = time.monotonic() + timeout
        pause, longest = _LOOK
        while True:
            status = await self._transport.status(id)
            left = deadline - time.monotonic()
            if status.final:
                return status
            if left <= 0:
                raise TimeoutError(f"{id}: not all recipients have an outcome in {timeout:g} s")
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, longest)

    async def cancel(self, id: str) -> Sequence[Cancelled]:  # noqa: A002
        """Stop what is not delivered yet; an answer for each delivery. Raises NoSuchMessage."""
        return await self._transport.cancel(id)

    async def reschedule(
        self,
        id: str,  # noqa: A002
        at: datetime | None = None,
    ) -> Sequence[Rescheduled]:
        """Attempt what is not delivered yet at a time, or now. Raises NoSuchMessage."""
        return await self._transport.reschedule(id, at)

    def events(self, after: str = "") -> AsyncIterator[Event]:
        """Events as they happen, without end; behind the event of that id, or from now on.

        Each has an `id` to go on from. They are kept for some minutes.
        """
        return self._transport.events(after)


def _batches(messages: Iterable[Given]) -> Iterator[list[Message]]:
    """The messages, as many together as go together."""
    batch: list[Message] = []
    for given in messages:
        batch.append(message_of(given, {}))
        if len(batch) == MOST_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def transport(url: str, *, broker: str, token: str, timeout: float) -> Transport:
    """The way that a URL names. Raises ConfigError where the others do not go with it."""
    scheme = split_url(url).scheme
    if scheme in ("http", "https"):
        if broker:
            raise ConfigError(["broker: does not go with an HTTP URL: leave it out"])
        return Remote(RemoteOptions(url=url, token=token, timeout=timeout))
    if token:
        raise ConfigError(["token: goes with an http or https URL only: leave it out"])
    if url:
        return Direct(DirectOptions(store=url, broker=broker, timeout=timeout))
    settings = load_settings()
    return Direct(
        DirectOptions(
            store=settings.store.url,
            broker=broker or settings.broker.url,
            durability=settings.store.durability,
            partitions=settings.store.partitions,
            replicas=settings.store.replicas,
            timeout=timeout,
        )
    )
