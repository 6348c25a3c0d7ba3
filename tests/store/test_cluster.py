"""A client of a cluster says everything to whoever serves it, whatever moves or goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from relay.errors import ConfigError, StoreUnavailable
from relay.store.address import Address
from relay.store.client import ClientOptions, StoreClient
from relay.store.cluster import client_of
from relay.store.keys import partition_keys, slot_of
from relay.store.memory import memory
from relay.store.schema import agree
from relay.store.script import Script
from relay.store.servers import servers_of
from tests.support.cluster import ClusterStore
from tests.support.valkey import ValkeyServer

WRITE = Script("write", "#!lua\nreturn {redis.call('INCR', KEYS[1]), ARGV[1]}")
BOTH = Script(
    "both", "#!lua\nredis.call('INCR', KEYS[2])\nreturn {redis.call('INCR', KEYS[1]), ARGV[1]}"
)
PARTITIONS = 6
KEYS = [f"{partition_keys(number, PARTITIONS).prefix}n" for number in range(PARTITIONS)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterStore]:
    made = ClusterStore().start()
    yield made
    made.remove()


@asynccontextmanager
async def client_to(cluster: ClusterStore, patience: float = 20) -> AsyncIterator[StoreClient]:
    client = client_of(servers_of(cluster.url), ClientOptions(patience=patience))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def client(cluster: ClusterStore) -> AsyncIterator[StoreClient]:
    cluster.flush()
    async with client_to(cluster) as made:
        yield made


def move(cluster: ClusterStore, slot: int, to: ValkeyServer) -> None:
    """Have every node believe that a slot is another's, which holds no key of it."""
    for node in cluster.nodes:
        node.command("CLUSTER", "SETSLOT", slot, "NODE", cluster.id_of(to))


async def test_partitions_lie_on_all_nodes_and_each_call_goes_to_its_own(
    cluster: ClusterStore, client: StoreClient
) -> None:
    answers = await asyncio.gather(*(client.call(WRITE, [key], ["x"]) for key in KEYS * 5))
    assert sorted(answer[0] for answer in answers) == sorted([1, 2, 3, 4, 5] * PARTITIONS)
    assert {cluster.owner_of(key).port for key in KEYS} == {node.port for node in cluster.nodes}
    assert await client.read("TIME")
    assert [await client.read("GET", key) for key in KEYS] == [b"5"] * PARTITIONS


async def test_a_slot_that_moved_is_followed_and_told(
    cluster: ClusterStore, client: StoreClient
) -> None:
    changes = []
    client.on_change = lambda: changes.append(1)
    key = "moved-once"
    before = cluster.owner_of(key)
    after = next(node for node in cluster.nodes if node is not before)
    move(cluster, slot_of(key), after)
    try:
        calls = (client.call(WRITE, [key], ["x"]) for _ in range(50))
        assert len(await asyncio.gather(*calls)) == 50
        assert after.command("GET", key) == b"50"
        async with asyncio.timeout(5):
            while not changes:
                await client.read("TIME")
    finally:
        after.command("DEL", key)
        move(cluster, slot_of(key), before)


async def test_while_a_slot_is_on_its_way_its_keys_are_found_on_either_side(
    cluster: ClusterStore, client: StoreClient
) -> None:
    one, other = "{way}1", "{way}2"
    await client.call(WRITE, [one], ["x"])
    source = cluster.owner_of(one)
    target = next(node for node in cluster.nodes if node is not source)
    slot = slot_of(one)
    target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(source))
    source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(target))
    # This one is here; that one is nowhere, so that it is asked for there (ASK).
    assert await client.call(WRITE, [one], ["x"]) == [2, b"x"]
    assert await client.call(WRITE, [other], ["x"]) == [1, b"x"]
    # Both at once are in one place only when all have gone (TRYAGAIN).
    both = client.call(BOTH, [one, other], ["x"])
    await asyncio.sleep(0.1)
    assert not both.done()
    source.command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", one)
    assert await both == [3, b"x"]
    move(cluster, slot, target)
    assert await client.call(BOTH, [one, other], ["x"]) == [4, b"x"]


async def test_a_node_that_is_away_holds_up_nothing_but_its_own(cluster: ClusterStore) -> None:
    cluster.flush()
    async with client_to(cluster) as client:
        await asyncio.gather(*(client.call(WRITE, [key], ["x"]) for key in KEYS))
        gone = cluster.owner_of(KEYS[0])
        mine = [key for key in KEYS if cluster.owner_of(key) is gone]
        others = [key for key in KEYS if key not in mine]
        gone.kill()
        waiting = [client.call(WRITE, [key], ["x"]) for key in mine]
        short = client.call(WRITE, [mine[0]], ["x"], 0.3)
        for _ in range(20):
            async with asyncio.timeout(1):
                await asyncio.gather(*(client.call(WRITE, [key], ["x"]) for key in others))
        with pytest.raises(StoreUnavailable):
            await short
        assert client.connected
        assert not client.reachable(mine[0])
        assert client.reachable(others[0])
        assert (await memory(client))[0] > 0
        assert not any(call.done() for call in waiting)
        gone.start()
        answers = await asyncio.gather(*waiting)
        assert all(answer[0] >= 2 for answer in answers)


async def test_a_node_that_nobody_speaks_to_is_connected_to_again(cluster: ClusterStore) -> None:
    async with client_to(cluster) as client:
        gone = cluster.owner_of(KEYS[0])
        gone.restart()
        async with asyncio.timeout(10):
            while not client.reachable(KEYS[0]):
                await client.read("TIME")


async def test_a_cluster_is_checked_on_all_nodes(
    cluster: ClusterStore, client: StoreClient
) -> None:
    assert await agree(client, PARTITIONS, "fsync") == 0
    cluster.nodes[1].command("CONFIG", "SET", "appendfsync", "everysec")
    try:
        with pytest.raises(ConfigError, match="appendfsync always"):
            await agree(client, PARTITIONS, "fsync")
    finally:
        cluster.nodes[1].command("CONFIG", "SET", "appendfsync", "always")


async def test_a_node_that_is_named_as_a_single_server_is_refused(cluster: ClusterStore) -> None:
    client = StoreClient(Address.parse(cluster.nodes[0].tcp_url))
    await client.start()
    with pytest.raises(ConfigError, match=r"redis\+cluster://"):
        await agree(client, 1, "fsync")
    calls = (client.call(WRITE, [key], ["x"]) for key in KEYS)
    with pytest.raises(ConfigError, match=r"redis\+cluster://"):
        await asyncio.gather(*calls)
    await client.close()
