"""One broker and one worker for the tests that only look at a worker; others start their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.valkey import BROKER_OPTIONS, ValkeyServer
from tests.support.worker import Client, Worker, client


@pytest.fixture(scope="module")
def shared_broker() -> Iterator[ValkeyServer]:
    server = ValkeyServer(**BROKER_OPTIONS).start()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def worker(
    shared_broker: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker with twenty slots, which sends events."""
    directory = tmp_path_factory.mktemp("worker")
    with Worker(shared_broker.tcp_url, directory, "-E", "--concurrency=20") as shared:
        yield shared


@pytest.fixture
def producer(shared_broker: ValkeyServer) -> Iterator[Client]:
    """Talks to the shared worker."""
    with client(shared_broker.tcp_url) as made:
        yield made


@pytest.fixture
def own_broker() -> Iterator[ValkeyServer]:
    """A broker that the test may stop and kill."""
    server = ValkeyServer(**BROKER_OPTIONS).start()
    yield server
    server.remove()


@pytest.fixture
def own_producer(own_broker: ValkeyServer) -> Iterator[Client]:
    """Talks to the workers of the test's own broker."""
    with client(own_broker.tcp_url) as made:
        yield made


StartWorker = Callable[..., Worker]


@pytest.fixture
def start_worker(own_broker: ValkeyServer, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers on the test's own broker: arguments, and environment as keywords."""
    with ExitStack() as stack:

        def start(*arguments: str, name: str = "w1", ready: bool = True, **env: str) -> Worker:
            made = Worker(own_broker.tcp_url, tmp_path, *arguments, name=name, **env)
            if ready:
                return stack.enter_context(made)
            stack.push(made.__exit__)
            return made.start()

        yield start
