"""The HTTP API in this process, put together as the role does it, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from relay.cli.roles.accepting import accepting
from relay.cli.roles.http import service
from relay.cli.roles.identity import identity
from relay.config import Settings
from relay.identity.registry import Registry, Terms
from relay.ingress.http.app import application
from relay.ingress.http.server import HttpServer
from relay.ingress.listener import Listen
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.identity import IdentityStore
from tests.support.queue import QueueStore

Serve = Callable[..., contextlib.AbstractAsyncContextManager[str]]
HELLO: dict[str, Any] = {
    "from": "Ann <ann@example.com>",
    "to": "u@a.example",
    "subject": "Hello",
    "text": "Hello.",
}


@pytest.fixture
def serve(store_url: str, broker_url: str) -> Serve:
    """Serves with some settings of `http` as they are given, and `store.index`; its URL."""

    @contextlib.asynccontextmanager
    async def serving(**http: Any) -> AsyncIterator[str]:
        http.setdefault("networks", ("127.0.0.0/8",))
        store = {"url": store_url, "index": http.pop("index", ())}
        settings = Settings(store=store, broker={"url": broker_url}, http=http)  # type: ignore[arg-type]
        stop = asyncio.Event()
        async with accepting(settings) as parts:
            who = identity(settings, parts.client)
            app = application(service(settings, parts, who, stop))
            server = HttpServer(app, connections=settings.http.limits.connections, grace=1)
            await server.start([Listen("127.0.0.1", 0)])
            try:
                yield f"http://127.0.0.1:{server.addresses[0][1]}"
            finally:
                stop.set()
                await server.stop()
                who.close()

    return serving


@pytest.fixture
async def url(serve: Serve) -> AsyncIterator[str]:
    """One that this machine may use without a token."""
    async with serve() as url:
        yield url


@pytest.fixture
async def api(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url) as client:
        yield client


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
def token(client: StoreClient) -> Callable[..., Any]:
    """Makes a token; the header that shows it."""
    registry = Registry(IdentityStore(client))

    async def make(name: str, **terms: Any) -> dict[str, str]:
        given: dict[str, Any] = {"scopes": ("send", "read"), "senders": ("*",)} | terms
        _, secret = await registry.add("token", name, Terms(**given), by="test")
        return {"Authorization": f"Bearer {secret}"}

    return make
