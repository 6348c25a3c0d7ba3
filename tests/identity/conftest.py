"""An empty store, the registry on it, and processes that ask it who somebody is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import pytest

from relay.identity import Identity, IdentityOptions
from relay.identity.registry import Registry
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.identity import IdentityStore


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[StoreClient]:
    client = StoreClient(Address.parse(store_url))
    await client.start()
    yield client
    await client.close()


@pytest.fixture
def registry(client: StoreClient, clock: Clock) -> Registry:
    return Registry(IdentityStore(client), clock)


@pytest.fixture
async def process(
    client: StoreClient, clock: Clock
) -> AsyncIterator[Callable[[IdentityOptions], Identity]]:
    """Makes the identity of one process."""
    made: list[Identity] = []

    def make(options: IdentityOptions) -> Identity:
        made.append(Identity(IdentityStore(client), options, clock))
        return made[-1]

    yield make
    for identity in made:
        identity.close()
