"""Services that submit by the Python client, each in its way, beside the clients that speak SMTP.

A message that was not accepted is submitted again until it is. Under an idempotency key that must
give one message, whatever happened to the first answer; without one it may give two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from relay import AsyncRelay
from relay.errors import StoreFull, StoreUnavailable, SubmissionRefused
from tests.faults.stage import Stage
from tests.support.producer import Post, Producer

#: Messages of each way that are on their way at once.
_AT_ONCE = 3
#: Seconds that a call is repeated by the client itself, and before the service says it again.
_TIMEOUT = 4.0
_PAUSE = 0.2


@dataclass(frozen=True)
class Way:
    """How a service reaches Relay, and whether its messages have keys."""

    url: str
    broker: str = ""
    keyed: bool = False


def ways(stage: Stage) -> tuple[Way, ...]:
    """Straight to the store with keys and without, and over HTTP."""
    store, broker = f"redis://{stage.service.store.address}/0", stage.broker.tcp_url
    # Of two services one rings workers, the other leaves that to the pump.
    return (Way(store, broker), Way(store, keyed=True), Way(stage.http_url, keyed=True))


@dataclass
class Services(Producer):
    """All of them, with the same number of messages each."""

    ways: Sequence[Way]
    posts: Iterable[Post]
    #: Tries that ended without an answer, of messages with a key: submitted again, and one message.
    said_again: list[str] = field(default_factory=list)

    def to_draw(self) -> Iterable[Post]:
        """See Producer."""
        return self.posts

    async def work(self) -> None:
        """See Producer."""
        await asyncio.gather(*(self._service(way) for way in self.ways))

    async def _service(self, way: Way) -> None:
        relay = AsyncRelay(way.url, broker=way.broker, timeout=_TIMEOUT)
        await self._until(lambda: self._opens(relay))
        try:
            await asyncio.gather(*(self._client(relay, way) for _ in range(_AT_ONCE)))
        finally:
            await relay.close()

    async def _until(self, works: Callable[[], Awaitable[bool]]) -> None:
        while not self.stopped:
            if await works():
                return
            await asyncio.sleep(_PAUSE)

    async def _opens(self, relay: AsyncRelay) -> bool:
        try:
            await relay.open()
        except StoreUnavailable:
            return False
        return True

    async def _client(self, relay: AsyncRelay, way: Way) -> None:
        """What is said again stays with its way: its key is known there."""
        while not self.stopped and (one := self.take()) is not None:
            await self._until(lambda one=one: self._submit(relay, way, one))  # type: ignore[misc]
            await self.pause(_AT_ONCE * len(self.ways))

    async def _submit(self, relay: AsyncRelay, way: Way, one: Post) -> bool:
        try:
            accepted = await relay.submit(
                one.content,
                to=one.recipients,
                envelope_sender=one.sender,
                idempotency_key=f"key-{one.id}" if way.keyed else "",
            )
        except StoreFull as error:
            self.refusals.append(str(error))
        except SubmissionRefused as error:
            if error.reply.permanent:
                raise
            self.refusals.append(str(error))
        except StoreUnavailable as error:
            self.refusals.append(str(error))
            (self.said_again if way.keyed else self.unsure).append(one.id)
        else:
            self.accepted[one.id] = accepted.id
            self.accepted_at[one.id] = time.monotonic()
            return True
        return False
