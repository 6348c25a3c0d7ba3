"""Fixtures that every test may use: real servers, shared by a run and empty for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.valkey import BROKER_OPTIONS, STORE_OPTIONS, ValkeyServer


@pytest.fixture(scope="session")
def store_server() -> Iterator[ValkeyServer]:
    """The store of this run. A test that kills or restarts a server makes one of its own."""
    server = ValkeyServer(**STORE_OPTIONS).start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def broker_server() -> Iterator[ValkeyServer]:
    """The broker of this run."""
    server = ValkeyServer(**BROKER_OPTIONS).start()
    yield server
    server.remove()


@pytest.fixture
def store_url(store_server: ValkeyServer) -> str:
    """An empty store that fsyncs each acknowledgement, through a unix socket."""
    store_server.flush()
    return store_server.url


@pytest.fixture
def broker_url(broker_server: ValkeyServer) -> str:
    """An empty broker, through a loopback port."""
    broker_server.flush()
    return broker_server.tcp_url
