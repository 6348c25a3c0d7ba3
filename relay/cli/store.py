"""The settings' store, for as long as a command needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.config import Settings
from relay.store.client import ClientOptions, StoreClient
from relay.store.cluster import client_of
from relay.store.servers import servers_of

#: Seconds that a command waits for the store.
PATIENCE = 10.0


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[StoreClient]:
    """A client of the store that the settings name. Raises StoreUnavailable."""
    client = client_of(servers_of(settings.store.url), ClientOptions(patience=PATIENCE))
    await client.start()
    try:
        yield client
    finally:
        await client.close()
