"""An empty store that is known as one of Relay's, and clients on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relay import AsyncRelay
from relay.store.address import Address
from relay.store.client import StoreClient
from tests.support.queue import QueueStore
from tests.support.valkey import ValkeyServer


@pytest.fixture
def own_store(store_server: ValkeyServer, store_url: str) -> str:
    store_server.command("HSET", "relay:schema", "partitions", 1, "version", 1)
    return store_url


@pytest.fixture
async def client(own_store: str) -> AsyncIterator[StoreClient]:
    client = StoreClient(Address.parse(own_store))
    await client.start()
    yield client
    await client.close()


@pytest.fixture
def queue(client: StoreClient) -> QueueStore:
    return QueueStore(client)


@pytest.fixture
async def relay(own_store: str, broker_url: str) -> AsyncIterator[AsyncRelay]:
    async with AsyncRelay(own_store, broker=broker_url) as relay:
        yield relay
