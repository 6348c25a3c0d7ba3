"""The clients of one process: one for everything, and those that accept.

While WAIT is under way its connection does nothing else, so that what finishes work does not go
through it. And a server reads 16 KiB of each connection before it syncs its file and answers: of
messages that come over one connection only three or four share a sync.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.store import observed
from relay.store.client import ClientOptions, StoreClient
from relay.store.cluster import client_of
from relay.store.schema import agree
from relay.store.servers import Servers
from relay.store.spread import Accepting, Spread


class Access:
    """Made on the loop that uses it; `open` before, `close` after."""

    def __init__(
        self,
        servers: Servers,
        durability: str,
        options: ClientOptions | None = None,
        on_answer: Callable[[str, float, int], None] = observed.answered,
        *,
        connections: int = 1,
    ) -> None:
        """`connections`: over how many messages are accepted, where no replica is waited for."""
        self._durability = durability
        #: For everything but acceptance.
        self.client = client_of(servers, options, on_answer)
        #: For acceptance: its answers are durable as the level says.
        self.accepting: Accepting = self.client
        self._own: StoreClient | Spread | None = None
        if durability == "replicated":
            self._own = client_of(servers, options, on_answer)
        elif connections > 1:
            self._own = Spread(servers, options or ClientOptions(), connections, on_answer)
        if self._own is not None:
            self.accepting = self._own

    async def open(self, partitions: int, replicas: int) -> None:
        """Connect and check the store. Raises StoreUnavailable, ConfigError."""
        await self.client.start()
        wanted = await agree(self.client, partitions, self._durability, replicas)
        if isinstance(self._own, StoreClient):
            self._own.replicas = wanted
        if self._own is not None:
            await self._own.start()

    async def start(self) -> None:
        """Connect, and take the store as it is: for clients that submit and have no settings.

        Raises StoreUnavailable.
        """
        await self.client.start()
        if self._own is not None:
            await self._own.start()

    async def close(self) -> None:
        """Wait for what was said already."""
        if self._own is not None:
            await self._own.close()
        await self.client.close()
