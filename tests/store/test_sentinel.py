"""A client finds the primary that sentinels name, and follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from relay.errors import StoreUnavailable
from relay.store.client import ClientOptions, StoreClient
from relay.store.doorbell import Doorbell
from relay.store.script import Script
from relay.store.servers import single
from tests.support.replicated import SentinelStore

WRITE = Script("write", "#!lua\nreturn {redis.call('INCR', KEYS[1]), ARGV[1]}")


@pytest.fixture(scope="module")
def store() -> Iterator[SentinelStore]:
    made = SentinelStore(replicas=2).start()
    yield made
    made.remove()


async def test_a_switch_of_the_primary_is_followed_and_told(store: SentinelStore) -> None:
    client = StoreClient(single(store.url), ClientOptions(patience=20))
    changes = []
    client.on_change = lambda: changes.append(client.address.port)
    bell = Doorbell(single(store.url))
    await client.start()
    assert await client.call(WRITE, ["n"], ["x"]) == [1, b"x"]
    bell.ring(["0/before.test"])
    before = store.primary
    assert client.address.port == before.port
    store.sentinels[0].command("SENTINEL", "FAILOVER", store.NAME)
    async with asyncio.timeout(20):
        while not changes:
            await client.call(WRITE, ["n"], ["x"])
        while await bell.depth() < 2:
            bell.ring(["0/after.test"])
            await asyncio.sleep(0.02)
    # The old one thinks for ten seconds more that it is primary, too.
    _, port = store.sentinels[0].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", store.NAME)
    assert changes == [int(port)]
    assert int(port) != before.port
    await bell.close()
    await client.close()


async def test_no_sentinel_or_none_that_knows_the_name_is_said(store: SentinelStore) -> None:
    unknown = store.url.replace(store.NAME, "another")
    client = StoreClient(single(unknown))
    with pytest.raises(StoreUnavailable, match="knows no 'another'"):
        await client.start()
    nowhere = StoreClient(single("redis+sentinel://127.0.0.1:1,127.0.0.1:2/m"))
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:2"):
        await nowhere.start()
    wrong = StoreClient(single(store.url.partition("?")[0]))
    with pytest.raises(StoreUnavailable, match="NOAUTH"):
        await wrong.start()
