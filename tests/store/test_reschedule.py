"""reschedule: the next attempt at another time, or now."""

from __future__ import annotations

import pytest

from relay.store.codec import Flag, Place
from relay.store.wire import ReplyError
from tests.support.costs import cpu_ms
from tests.support.queue import DEADLINE_MS, LONGEST_MS, MINUTE, New, QueueStore


async def test_what_waits_is_sent_now(queue: QueueStore) -> None:
    delivery = await queue.admitted(New(due_ms=await queue.now() + MINUTE)) + ".0"
    assert await queue.reschedule(delivery) == [["ready"], ["a.example"]]
    assert [lease.id for lease in await queue.lease()] == [delivery]


async def test_a_parked_queue_is_rung_for_what_is_to_go_now(queue: QueueStore) -> None:
    message = await queue.admitted(New(), New(due_ms=await queue.now() + MINUTE))
    await queue.park("a.example", wait_ms=99 * MINUTE)
    for number in (0, 1):
        answer = await queue.reschedule(f"{message}.{number}")
        assert answer == [["ready"], ["a.example"]]
    wake = (await queue.scores(queue.keys.wake))["a.example"]
    assert wake <= await queue.now() + DEADLINE_MS


async def test_a_time_to_come_is_kept(queue: QueueStore) -> None:
    due = await queue.now() + 30 * MINUTE
    ready = await queue.admitted() + ".0"
    later = await queue.admitted(New(due_ms=due - MINUTE)) + ".0"
    assert await queue.reschedule(ready, later, due_ms=due) == [["later", "later"], []]
    assert await queue.scores(queue.keys.later) == {ready: due, later: due}
    assert await queue.scores(queue.keys.wake) == {}


async def test_said_twice_it_is_the_same(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    due = await queue.now() + MINUTE
    assert await queue.reschedule(delivery, due_ms=due) == [["later"], []]
    before = await queue.dump()
    assert await queue.reschedule(delivery, due_ms=due) == [["later"], []]
    assert await queue.dump() == before
    for _ in range(2):
        assert await queue.reschedule(delivery) == [["ready"], ["a.example"]]


@pytest.mark.parametrize("own", [0, MINUTE])
async def test_no_time_is_later_than_the_expiry(queue: QueueStore, own: int) -> None:
    now = await queue.now()
    delivery = await queue.admitted(New(expires_ms=own and now + own)) + ".0"
    await queue.reschedule(delivery, due_ms=now + 2 * LONGEST_MS)
    due = (await queue.scores(queue.keys.later))[delivery]
    assert due == pytest.approx(now + (own or LONGEST_MS), abs=2000)


async def test_what_is_leased_goes_then_if_this_attempt_is_deferred(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    assert await queue.reschedule(lease.id) == [["pending"], []]
    await queue.settle(lease, verb="later", wait_ms=99 * MINUTE)
    assert (await queue.promote())[:3] == [1, 0, ["a.example"]]


async def test_each_delivery_has_an_answer(queue: QueueStore) -> None:
    message = await queue.admitted(*(New(queue=f"{n}.example") for n in range(4)))
    ids = [f"{message}.{n}" for n in range(4)]
    await queue.settle(*await queue.lease("0.example"))
    await queue.lease("1.example")
    await queue.cancel(ids[1], ids[2])
    await queue.hold(ids[3])
    answers, rung = await queue.reschedule(*ids, queue.new_id() + ".0")
    assert answers == ["final", "cancelling", "cancelled", "held", "unknown"]
    assert rung == []


async def test_of_a_held_queue_nothing_is_rung(queue: QueueStore) -> None:
    delivery = await queue.admitted(New(due_ms=await queue.now() + MINUTE)) + ".0"
    await queue.pause("q:a.example")
    assert await queue.reschedule(delivery) == [["ready"], []]
    assert await queue.place(delivery) is Place.READY


async def test_what_was_lost_keeps_its_mark(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.expire(lease)
    await queue.reclaim()
    await queue.reschedule(lease.id, due_ms=await queue.now() + MINUTE)
    await queue.reschedule(lease.id)
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert stored.flags == Flag.ALONE | Flag.DOUBT


async def test_what_a_newer_version_wrote_is_refused_untouched(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    value = await queue.newer(delivery)
    assert await queue.reschedule(delivery, due_ms=1) == [["newer"], []]
    await queue.client.read("HSET", queue.keys.deliveries, delivery, b"\x01" + value[1:])


async def test_fifty_take_less_than_five_milliseconds(queue: QueueStore) -> None:
    message = await queue.admitted(*(New(lane=f"n{n}") for n in range(50)))
    ids = [f"{message}.{n}" for n in range(50)]
    took = []
    for _ in range(10):
        due = await queue.now() + MINUTE
        before = await cpu_ms(queue.client)
        await queue.reschedule(*ids, due_ms=due)
        between = await cpu_ms(queue.client)
        await queue.reschedule(*ids)
        took.append(max(between - before, await cpu_ms(queue.client) - between))
    assert 0 < min(took) < 5


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    async with queue.full():
        answer = await queue.reschedule(delivery, due_ms=await queue.now() + MINUTE)
    assert answer == [["later"], []]


async def test_missing_keys_are_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("reschedule", queue.fixed("reschedule"), 1, 1, 0, "id")
