"""What the exporter shows of a cluster's primaries, one by one and as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from relay import metrics
from relay.console.fleet import Fleet
from relay.console.top import Top
from relay.store.address import Address
from relay.store.client import ClientOptions, StoreClient
from relay.store.cluster import client_of
from relay.store.doorbell import Doorbell
from relay.store.schema import agree
from relay.store.servers import servers_of
from tests.support.cluster import PARTITIONS, ClusterStore
from tests.support.valkey import ValkeyServer

_MEGABYTE = 1 << 20


@pytest.fixture
def cluster() -> Iterator[ClusterStore]:
    made = ClusterStore().start()
    yield made
    made.remove()


@pytest.fixture
async def client(cluster: ClusterStore) -> AsyncIterator[StoreClient]:
    made = client_of(servers_of(cluster.url), ClientOptions(patience=2))
    await made.start()
    await agree(made, PARTITIONS, "fsync")
    yield made
    await made.close()


@pytest.fixture
async def fleet(client: StoreClient, broker_url: str) -> AsyncIterator[Fleet]:
    doorbell = Doorbell(Address.parse(broker_url))
    yield Fleet(client, PARTITIONS, doorbell)
    await doorbell.close()


def value(name: str, **labels: str) -> float:
    found = metrics.FLEET.get_sample_value(f"relay_store_{name}", labels)
    assert found is not None, name
    return found


def place(node: ValkeyServer) -> str:
    return f"127.0.0.1:{node.port}"


async def test_each_primary_is_shown_and_the_store_is_as_full_as_the_fullest(
    cluster: ClusterStore, client: StoreClient, fleet: Fleet
) -> None:
    # The one with the highest limit is the one with the least room.
    full = cluster.nodes[2]
    key = next(key for key in map(str, range(1000)) if cluster.owner_of(key) is full)
    full.command("SETRANGE", key, 30 * _MEGABYTE, "x")
    limits = [20 * _MEGABYTE, 30 * _MEGABYTE, 60 * _MEGABYTE]
    for node, limit in zip(cluster.nodes, limits, strict=True):
        node.command("CONFIG", "SET", "maxmemory", limit)
    await fleet.look_at_store()
    assert value("up") == 1, fleet.faults
    names = [place(node) for node in cluster.nodes]
    assert [value("node_up", node=name) for name in names] == [1, 1, 1]
    assert [value("node_memory_max_bytes", node=name) for name in names] == limits
    used = [value("node_memory_used_bytes", node=name) for name in names]
    assert max(used[:2]) < 10 * _MEGABYTE < 30 * _MEGABYTE < used[2]
    assert value("memory_used_bytes") == used[2]
    assert value("memory_max_bytes") == limits[2]
    assert value("file_bytes") > 0
    view = await Top(client, PARTITIONS, deadline_ms=10_000).look(5)
    assert view.memory_max == limits[2]
    assert view.memory_used > 30 * _MEGABYTE


async def test_a_primary_that_is_away_is_named(cluster: ClusterStore, fleet: Fleet) -> None:
    await fleet.look_at_store()
    cluster.nodes[1].kill()
    await fleet.look_at_store()
    assert value("up") == 0
    names = [place(node) for node in cluster.nodes]
    assert [value("node_up", node=name) for name in names] == [1, 0, 1]
    assert metrics.FLEET.get_sample_value(
        "relay_store_node_memory_used_bytes", {"node": names[1]}
    ) is None  # fmt: skip
    assert value("node_memory_used_bytes", node=names[0]) > 0
