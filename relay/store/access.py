"""The clients of one process: one for everything, and one that accepts where replicas must have it.

While WAIT is under way its connection does nothing else, so that what finishes work does not go
through it.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.store import observed
from relay.store.client import ClientOptions, StoreClient
from relay.store.schema import agree
from relay.store.servers import Servers


class Access:
    """Made on the loop that uses it; `open` before, `close` after."""

    def __init__(
        self,
        servers: Servers,
        durability: str,
        options: ClientOptions | None = None,
        on_answer: Callable[[str, float, int], None] = observed.answered,
    ) -> None:
        self._durability = durability
        #: For everything but acceptance.
        self.client = StoreClient(servers, options, on_answer)
        #: For acceptance: its answers are durable as the level says.
        self.accepting = self.client
        if durability == "replicated":
            self.accepting = StoreClient(servers, options, on_answer)

    async def open(self, partitions: int, replicas: int) -> None:
        """Connect and check the store. Raises StoreUnavailable, ConfigError."""
        await self.client.start()
        wanted = await agree(self.client, partitions, self._durability, replicas)
        if self.accepting is not self.client:
            self.accepting.replicas = wanted
            await self.accepting.start()

    async def close(self) -> None:
        """Wait for what was said already."""
        if self.accepting is not self.client:
            await self.accepting.close()
        await self.client.close()
