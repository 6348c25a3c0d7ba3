"""unhold: what was held goes on where it was."""

from __future__ import annotations

import pytest

from relay.store.codec import Flag, Place
from relay.store.wire import ReplyError
from tests.support.queue import MINUTE, New, QueueStore


async def test_what_was_held_is_ready_and_its_queue_is_rung(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    await queue.hold(delivery)
    assert await queue.unhold(delivery) == [["unheld"], ["a.example"]]
    assert [lease.id for lease in await queue.lease()] == [delivery]


async def test_what_is_not_due_yet_waits_for_its_time(queue: QueueStore) -> None:
    due = await queue.now() + MINUTE
    delivery = await queue.admitted(New(due_ms=due)) + ".0"
    await queue.hold(delivery)
    assert await queue.unhold(delivery) == [["unheld"], []]
    assert await queue.scores(queue.keys.later) == {delivery: due}


async def test_said_twice_it_is_the_same_with_nothing_to_ring(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    await queue.hold(delivery)
    assert await queue.unhold(delivery) == [["unheld"], ["a.example"]]
    before = await queue.dump()
    assert await queue.unhold(delivery) == [["unheld"], []]
    assert await queue.dump() == before


async def test_of_what_is_leased_the_flag_goes(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.hold(lease.id)
    assert await queue.unhold(lease.id) == [["unheld"], []]
    assert await queue.extend(lease) == ["kept"]
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert stored.flags == Flag(0)


async def test_of_a_held_queue_nothing_is_rung(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    await queue.hold(delivery)
    await queue.pause("q:a.example")
    assert await queue.unhold(delivery) == [["unheld"], []]
    assert await queue.place(delivery) is Place.READY


async def test_each_delivery_has_an_answer(queue: QueueStore) -> None:
    one, two = await queue.admitted() + ".0", await queue.admitted() + ".0"
    await queue.settle(*await queue.lease(count=1))
    await queue.cancel(two)
    answers, _ = await queue.unhold(one, two, queue.new_id() + ".0")
    assert answers == ["final", "cancelled", "unknown"]


async def test_what_a_newer_version_wrote_is_refused_untouched(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    await queue.hold(delivery)
    value = await queue.newer(delivery)
    assert await queue.unhold(delivery) == [["newer"], []]
    await queue.client.read("HSET", queue.keys.deliveries, delivery, b"\x01" + value[1:])


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    await queue.hold(delivery)
    async with queue.full():
        assert (await queue.unhold(delivery))[0] == ["unheld"]


async def test_missing_keys_are_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("unhold", queue.fixed("unhold"), 1, "id")


async def test_the_possible_doubles_of_what_was_held_for_lost_leases_are_in_its_record(
    queue: QueueStore,
) -> None:
    message = await queue.admitted()
    for n in range(5):
        [lease] = await queue.lease(holder=f"life{n}")
        await queue.begin(lease)
        await queue.expire(lease)
        await queue.reclaim()
    assert await queue.place(f"{message}.0") is Place.HELD
    await queue.unhold(f"{message}.0")
    [lease] = await queue.lease()
    await queue.settle(lease)
    assert (await queue.record(message))["p"] == b"5"
