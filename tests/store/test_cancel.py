"""cancel: a delivery ends at once, or as soon as its holder can end it."""

from __future__ import annotations

import pytest

from relay.store.codec import Flag, Place, decode_outcome
from relay.store.wire import ReplyError
from tests.support.costs import cpu_ms
from tests.support.queue import MINUTE, RETENTION_MS, New, QueueStore


@pytest.mark.parametrize("place", [Place.LATER, Place.READY, Place.HELD])
async def test_what_waits_is_cancelled_at_once(queue: QueueStore, place: Place) -> None:
    due = await queue.now() + MINUTE if place is Place.LATER else 0
    message = await queue.admitted(New(due_ms=due, flags=Flag.REPORT))
    delivery = message + ".0"
    if place is Place.HELD:
        await queue.hold(delivery)
    assert await queue.cancel(delivery) == ["cancelled"]
    assert await queue.stored(delivery) is None
    assert not await queue.has_content(message)
    assert 0 < await queue.ttl(message) <= RETENTION_MS
    ended = decode_outcome(b"f0.1", (await queue.record(message))["f0.1"])
    assert (ended.fate, ended.flags) == ("cancelled", Flag.REPORT)
    assert ended.delivery is not None
    assert [to.address for to in ended.delivery.recipients] == ["u@a.example"]
    assert (await queue.events())[-1] == (delivery, "c1"), "nobody is told what they asked for"


async def test_what_is_leased_is_cancelled_by_its_holder(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    assert await queue.cancel(lease.id) == ["pending"]
    assert await queue.cancel(lease.id) == ["pending"]
    assert await queue.extend(lease) == ["cancel"]
    assert await queue.settle(lease, verb="later") == ["cancelled"]
    assert await queue.cancel(lease.id) == ["cancelled"]


async def test_said_twice_it_is_the_same(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    assert await queue.cancel(delivery) == ["cancelled"]
    before = await queue.dump()
    assert await queue.cancel(delivery, delivery) == ["cancelled", "cancelled"]
    assert await queue.dump() == before


async def test_each_delivery_has_an_answer(queue: QueueStore) -> None:
    message = await queue.admitted(*(New(queue=f"{n}.example") for n in range(3)))
    await queue.settle(*await queue.lease("0.example"))
    await queue.lease("1.example")
    unknown = queue.new_id() + ".0"
    ids = [f"{message}.{n}" for n in range(3)]
    assert await queue.cancel(*ids, unknown) == ["final", "pending", "cancelled", "unknown"]
    assert await queue.has_content(message)


async def test_the_last_of_a_lane_takes_the_turn_and_the_wake_entry_with_it(
    queue: QueueStore,
) -> None:
    one = await queue.admitted(New(lane="nx")) + ".0"
    two = await queue.admitted(New(lane="ny")) + ".0"
    await queue.cancel(one)
    assert list(await queue.scores(queue.keys.wake)) == ["a.example"]
    await queue.cancel(two)
    assert await queue.scores(queue.keys.wake) == {}
    assert await queue.scores(queue.keys.turns) == {}


async def test_of_a_held_tenant_too(queue: QueueStore) -> None:
    await queue.pause("t:x")
    delivery = await queue.admitted(New(lane="nx")) + ".0"
    assert await queue.cancel(delivery) == ["cancelled"]
    assert await queue.scores(queue.keys.aside) == {}


async def test_content_stays_where_a_dsn_is_due(queue: QueueStore) -> None:
    message = await queue.admitted(New(), New(queue="b.example"))
    [lease] = await queue.lease()
    await queue.settle(lease, event="B")
    await queue.cancel(message + ".1")
    assert await queue.has_content(message)
    await queue.close((lease.id, 1))
    assert not await queue.has_content(message)


async def test_what_a_newer_version_wrote_is_refused_untouched(queue: QueueStore) -> None:
    newer, mine = await queue.admitted() + ".0", await queue.admitted() + ".0"
    value = await queue.newer(newer)
    assert await queue.cancel(newer, mine) == ["newer", "cancelled"]
    assert await queue.client.read("HGET", queue.keys.deliveries, newer) == value
    await queue.client.read("HSET", queue.keys.deliveries, newer, b"\x01" + value[1:])


async def test_fifty_take_less_than_five_milliseconds(queue: QueueStore) -> None:
    """Also where each is the last of its lane, and the queue has a thousand lanes."""
    for first in range(0, 1000, 50):
        await queue.admitted(*(New(lane=f"n{first + n}") for n in range(50)))
    took = []
    for _ in range(10):
        message = await queue.admitted(*(New(lane=f"h{n}") for n in range(50)))
        before = await cpu_ms(queue.client)
        answers = await queue.cancel(*(f"{message}.{n}" for n in range(50)))
        took.append(await cpu_ms(queue.client) - before)
        assert set(answers) == {"cancelled"}
    assert 0 < min(took) < 5


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    async with queue.full():
        assert await queue.cancel(delivery) == ["cancelled"]


async def test_missing_arguments_are_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("cancel", queue.fixed("cancel"), 1, "id")
