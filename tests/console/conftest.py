"""A console on an empty store, and the queue's scripts to bring that into any state."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relay.console.status import StoreConsole
from relay.store.address import Address
from relay.store.client import StoreClient
from tests.support.queue import QueueStore


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[StoreClient]:
    client = StoreClient(Address.parse(store_url))
    await client.start()
    yield client
    await client.close()


@pytest.fixture
def queue(client: StoreClient) -> QueueStore:
    return QueueStore(client)


@pytest.fixture
def console(client: StoreClient) -> StoreConsole:
    return StoreConsole(client, 1)
