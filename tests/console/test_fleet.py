"""The fleet's gauges, read from a real store and broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from relay import metrics
from relay.console.fleet import Fleet
from relay.policy.shaping import Limits
from relay.store.address import Address
from relay.store.client import ClientOptions, StoreClient
from relay.store.doorbell import Doorbell, DoorbellOptions
from relay.store.keys import partition_keys
from relay.store.paths import Ask, Parting, Path, Paths
from relay.store.roster import Roster
from tests.support.queue import DEADLINE_MS, MINUTE, New, QueueStore
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
    fleet = Fleet(client, 1, doorbell)
    assert len(fleet.faults) == 2
    await fleet.look_at_store()
    await fleet.look_at_broker()
    assert fleet.faults == []
    places = {
        place: value("relay_queue_deliveries", state=place)
        for place in ("later", "ready", "leased", "held")
    }
    assert places == {"later": 1, "ready": 1, "leased": 1, "held": 0}
    assert value("relay_queue_oldest_seconds") == pytest.approx(90, abs=30)
    assert value("relay_queue_parked") == 1
    assert value("relay_queue_overdue") == 0
    assert value("relay_events_length") == 3
    assert value("relay_store_persisting") == 1
    assert 0 < (value("relay_store_round_trip_seconds") or 0) < 5
    assert (value("relay_store_file_bytes") or 0) > 0
    assert value("relay_broker_tasks") == 2
    assert value("relay_store_up") == value("relay_broker_up") == 1
    assert (value("relay_store_memory_used_bytes") or 0) > 100_000


async def test_tenants_that_take_up_most_are_shown_by_name_and_the_rest_together(
    client: StoreClient, queue: QueueStore, doorbell: Doorbell, store_server: ValkeyServer
) -> None:
    for tenant, octets in (("acme", 3000), ("initech", 2000), ("hooli", 100), ("piper", 50)):
        await queue.admitted(New(lane=f"n{tenant}"), content=b"x" * octets)
    await queue.admitted(New(lane="n"), content=b"x" * 9000)
    store_server.command("CONFIG", "SET", "maxmemory", "100mb")
    await Fleet(client, 1, doorbell, names=2, tenant_share=0.2).look_at_store()
    store_server.command("CONFIG", "SET", "maxmemory", "0")
    assert value("relay_lane_stored_bytes", tenant="acme") == 3700
    assert value("relay_lane_stored_bytes", tenant="initech") == 2700
    assert value("relay_lane_stored_bytes", tenant="hooli") is None
    assert value("relay_lane_stored_bytes", tenant="other") == 1550
    assert value("relay_lane_share_bytes") == 20 * 1024 * 1024


async def test_deliveries_are_counted_by_age_with_the_bounds_of_qshape(
    client: StoreClient, queue: QueueStore, doorbell: Doorbell
) -> None:
    now = await queue.now()
    for minutes in (1, 4, 6, 100, 2000):
        one = await queue.admitted(New(due_ms=now + MINUTE))
        await queue.set_score(queue.keys.age, f"{one}.0", now - minutes * MINUTE)
    await Fleet(client, 1, doorbell).look_at_store()
    bounds = {"300.0": 2, "600.0": 3, "4800.0": 3, "9600.0": 4, "76800.0": 4, "+Inf": 5}
    found = {bound: value("relay_queue_age_seconds_bucket", le=bound) for bound in bounds}
    assert found == bounds


async def test_what_is_held_is_not_the_oldest_that_is_active(
    client: StoreClient, queue: QueueStore, doorbell: Doorbell
) -> None:
    now = await queue.now()
    held, active = await queue.admitted(), await queue.admitted()
    await queue.hold(f"{held}.0")
    await queue.set_score(queue.keys.age, f"{held}.0", now - 90 * MINUTE)
    await queue.set_score(queue.keys.age, f"{active}.0", now - 20 * MINUTE)
    await Fleet(client, 1, doorbell).look_at_store()
    assert value("relay_queue_oldest_seconds") == pytest.approx(5400, abs=30)
    assert value("relay_queue_oldest_active_seconds") == pytest.approx(1200, abs=30)


async def test_a_queue_that_nobody_rings_is_overdue(
    client: StoreClient, queue: QueueStore, doorbell: Doorbell
) -> None:
    await queue.admitted()
    now = await queue.now()
    await queue.set_score(queue.keys.wake, "a.example", now - DEADLINE_MS - 1000)
    await Fleet(client, 1, doorbell, deadline_ms=DEADLINE_MS).look_at_store()
    assert value("relay_queue_overdue") == 1


async def test_events_that_nobody_applies_make_a_lag(
    client: StoreClient, queue: QueueStore, doorbell: Doorbell
) -> None:
    long_ago = await queue.now() - 60_000
    await client.command("XADD", queue.keys.events, f"{long_ago}-0", "any", "a")
    fleet = Fleet(client, 1, doorbell)
    await fleet.look_at_store()
    assert value("relay_outbox_lag_seconds", consumer="dsn") == pytest.approx(60, abs=30)
    await client.command("HSET", queue.keys.cursors, "dsn", f"{long_ago}-0")
    await fleet.look_at_store()
    assert value("relay_outbox_lag_seconds", consumer="dsn") == 0
    await client.command("DEL", queue.keys.events)


async def test_the_sites_that_carry_most_show_how_they_stand(
    client: StoreClient, doorbell: Doorbell
) -> None:
    limits = Limits(initial=2, connections=2, first_pause=60, longest_pause=60)
    paths, full, dead = Paths(client, "me"), Path("", "full.example"), Path("", "dead.example")
    await paths.enter([Ask(full, "0/full.example", limits, (), ("a", "b"), 5)])
    await paths.enter([Ask(full, "0/other.example", limits, (), ("c",), 5)])
    await paths.leave([Parting(full, limits)])
    await paths.leave([Parting(dead, limits, failures=5, reply="421 4.3.2 closed")])
    await Roster(client, "me").report({"full.example": 9, "dead.example": 5, "few.example": 1}, {})
    await Fleet(client, 1, doorbell, names=2).look_at_store()
    assert value("relay_workers") == 1
    assert value("relay_path_window", site="full.example") == 2
    assert value("relay_path_connections", site="full.example") == 2
    assert value("relay_path_waiting", site="full.example") == 1
    assert value("relay_path_breaker", site="full.example", state="open") == 1
    assert value("relay_path_breaker", site="dead.example", state="dead") == 1
    assert value("relay_path_breaker", site="dead.example", state="open") == 0
    assert value("relay_path_window", site="few.example") is None


async def test_a_store_that_is_away_is_down_and_its_gauges_stay_until_it_is_back(
    doorbell: Doorbell,
) -> None:
    server = ValkeyServer(**STORE_OPTIONS).start()
    client = StoreClient(Address.parse(server.url), ClientOptions(patience=0.2))
    fleet = Fleet(client, 1, doorbell)
    try:
        await QueueStore(client).admitted()
        await fleet.look_at_store()
        await fleet.look_at_broker()
        server.kill()
        await fleet.look_at_store()
        await fleet.look_at_broker()
        [fault] = fleet.faults
        assert fault.startswith("the store cannot be read: ")
        assert value("relay_store_up") == 0
        assert value("relay_broker_up") == 1
        assert value("relay_queue_deliveries", state="ready") == 1
        server.start()
        await eventually(fleet.look_at_store, lambda: not fleet.faults)
        assert value("relay_store_up") == 1
    finally:
        await client.close()
        server.remove()


async def test_a_broker_that_is_away_leaves_the_stores_gauges_fresh(client: StoreClient) -> None:
    nowhere = Doorbell(Address.parse("redis://127.0.0.1:1"), DoorbellOptions(timeout=0.2))
    fleet = Fleet(client, 1, nowhere)
    try:
        await fleet.look_at_broker()
        await fleet.look_at_store()
        [fault] = fleet.faults
        assert fault.startswith("the broker cannot be read: ")
        assert (value("relay_store_up"), value("relay_broker_up")) == (1, 0)
    finally:
        await nowhere.close()


async def test_a_store_with_other_partitions_is_told_and_not_counted(
    client: StoreClient, queue: QueueStore, doorbell: Doorbell
) -> None:
    await queue.admitted()
    await client.command("HSET", "relay:schema", "partitions", 4)
    fleet = Fleet(client, 1, doorbell)
    await fleet.look_at_store()
    await fleet.look_at_broker()
    [fault] = fleet.faults
    assert "store.partitions" in fault
    assert value("relay_store_up") == 0


async def test_a_queue_that_was_rung_is_not_parked(
    client: StoreClient, queue: QueueStore, doorbell: Doorbell
) -> None:
    await queue.admitted()
    await queue.ring()
    await Fleet(client, 1, doorbell, deadline_ms=DEADLINE_MS).look_at_store()
    assert value("relay_queue_deliveries", state="ready") == 1
    assert value("relay_queue_parked") == 0


async def test_the_partitions_are_added_up(client: StoreClient, doorbell: Doorbell) -> None:
    now = int((await client.read("TIME"))[0]) * 1000
    for number in range(3):
        keys = partition_keys(number, 3)
        await client.command("ZADD", keys.held, now, f"one-{number}", now, f"two-{number}")
        await client.command("ZADD", keys.age, now - 60_000 * number, f"one-{number}")
    await Fleet(client, 3, doorbell).look_at_store()
    assert value("relay_queue_deliveries", state="held") == 6
    assert value("relay_queue_oldest_seconds") == pytest.approx(120, abs=30)


async def eventually(look: Callable[[], Awaitable[None]], done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await look()
