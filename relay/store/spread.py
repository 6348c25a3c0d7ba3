"""Several connections to one store, used in turn, for calls that bring much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any, Protocol

from msgspec import structs

from relay.store.client import ClientOptions
from relay.store.cluster import client_of
from relay.store.script import Script, Text
from relay.store.servers import Servers


class Accepting(Protocol):
    """What acceptance asks of `StoreClient`."""

    def call(
        self,
        what: Script,
        keys: Sequence[Text],
        args: Sequence[Text] = (),
        patience: float | None = None,
        *,
        confirmed: bool = False,
    ) -> asyncio.Future[Any]:
        """See StoreClient."""

    def read(self, *command: Text) -> asyncio.Future[Any]:
        """See StoreClient."""

    def reachable(self, key: Text) -> bool:
        """See StoreClient."""


class Spread:
    """As one client, but in no order: what must come after something waits for its answer."""

    def __init__(
        self,
        servers: Servers,
        options: ClientOptions,
        connections: int,
        on_answer: Callable[[str, float, int], None],
    ) -> None:
        share = structs.replace(
            options,
            most_calls=options.most_calls // connections,
            most_octets=options.most_octets // connections,
        )
        self._clients = [client_of(servers, share, on_answer) for _ in range(connections)]
        self._turns = cycle(self._clients)

    async def start(self) -> None:
        """Connect. Raises StoreUnavailable or ReplyError where that fails."""
        await asyncio.gather(*(client.start() for client in self._clients))

    async def close(self) -> None:
        """Wait for what was said already."""
        await asyncio.gather(*(client.close() for client in self._clients))

    def call(
        self,
        what: Script,
        keys: Sequence[Text],
        args: Sequence[Text] = (),
        patience: float | None = None,
        *,
        confirmed: bool = False,
    ) -> asyncio.Future[Any]:
        """See StoreClient."""
        return next(self._turns).call(what, keys, args, patience, confirmed=confirmed)

    def read(self, *command: Text) -> asyncio.Future[Any]:
        """See StoreClient."""
        return next(self._turns).read(*command)

    def reachable(self, key: Text) -> bool:
        """See StoreClient."""
        return self._clients[0].reachable(key)
