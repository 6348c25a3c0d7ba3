"""Content: read for an attempt, many messages in one round trip, large ones chunk by chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from relay.errors import RelayError
from relay.store.client import StoreClient
from relay.store.keys import partition_keys


class ContentMissing(RelayError):
    """The store has no content for an accepted message: it is held, and somebody is told."""


class Spool:
    """Reads content of all partitions."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    def whole(self, partition: int, messages: Sequence[str]) -> asyncio.Future[list[bytes | None]]:
        """The content of messages that are stored in one piece; None for one that is missing."""
        keys = partition_keys(partition, self._partitions)
        return self._client.read("MGET", *(keys.content(message) for message in messages))

    async def chunks(self, partition: int, message: str, count: int) -> AsyncIterator[bytes]:
        """The content of a large message, chunk by chunk. Raises ContentMissing."""
        keys = partition_keys(partition, self._partitions)
        for name in keys.contents(message, count):
            chunk = await self._client.read("GET", name)
            if chunk is None:
                raise ContentMissing(message)
            yield chunk
