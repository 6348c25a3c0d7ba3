"""The fleet's gauges, read from a real store and broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relay import metrics
from relay.console.fleet import Fleet
from relay.store.address import Address
from relay.store.client import ClientOptions, StoreClient
from relay.store.doorbell import Doorbell
from tests.support.queue import MINUTE, New, QueueStore
from tests.support.valkey import STORE_OPTIONS, ValkeyServer


@pytest.fixture
async def doorbell(broker_url: str) -> AsyncIterator[Doorbell]:
    doorbell = Doorbell(Address.parse(broker_url))
    yield doorbell
    await doorbell.close()


def value(name: str, **labels: str) -> float | None:
    return metrics.FLEET.get_sample_value(name, labels)


async def test_the_gauges_show_what_is_in_the_store(
    client: StoreClient, queue: QueueStore, doorbell: Doorbell, broker_server: ValkeyServer
) -> None:
    now = await queue.now()
    waiting = await queue.admitted(New(due_ms=now + MINUTE))
    await queue.admitted()
    await queue.admitted(New(queue="b.example"))
    await queue.lease("b.example")
    await queue.park("a.example", why="421 closed")
    await queue.set_score(queue.keys.age, f"{waiting}.0", now - 90_000)
    broker_server.command("LPUSH", "relay", "one", "two")
    await Fleet(client, 1, doorbell).look()
    places = {
        place: value("relay_queue_deliveries", state=place)
        for place in ("later", "ready", "leased", "held")
    }
    assert places == {"later": 1, "ready": 1, "leased": 1, "held": 0}
    assert value("relay_queue_oldest_seconds") == pytest.approx(90, abs=30)
    assert value("relay_queue_parked") == 1
    assert value("relay_events_length") == 3
    assert value("relay_broker_tasks") == 2
    assert value("relay_store_up") == 1
    assert (value("relay_store_memory_used_bytes") or 0) > 100_000


async def test_a_store_that_is_away_is_down_and_its_gauges_stay(doorbell: Doorbell) -> None:
    server = ValkeyServer(**STORE_OPTIONS).start()
    client = StoreClient(Address.parse(server.url), ClientOptions(patience=0.2))
    try:
        await client.start()
        await QueueStore(client).admitted()
        fleet = Fleet(client, 1, doorbell)
        await fleet.look()
        server.kill()
        await fleet.look()
        assert fleet.fault
        assert value("relay_store_up") == 0
        assert value("relay_queue_deliveries", state="ready") == 1
    finally:
        await client.close()
        server.remove()
