"""release: a lease is given back without an attempt."""

from __future__ import annotations

import pytest

from relay.store.codec import Flag, Place
from relay.store.wire import ReplyError
from tests.support.queue import MINUTE, New, QueueStore
from tests.support.stored import Held


async def test_it_goes_back_to_the_head_of_its_lane_uncounted(queue: QueueStore) -> None:
    messages = [await queue.admitted() for _ in range(3)]
    one, two = await queue.lease(count=2)
    assert await queue.release(two, one) == ["released", "released"]
    stored = await queue.stored(one.id)
    assert stored is not None
    assert (stored.attempts, stored.losses, stored.flags) == (0, 0, Flag(0))
    assert [lease.message for lease in await queue.lease()] == messages


async def test_its_queue_is_rung_when_the_caller_says(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    assert await queue.scores(queue.keys.wake) == {}
    await queue.release(lease, wait_ms=MINUTE)
    wake = (await queue.scores(queue.keys.wake))["a.example"]
    assert wake == pytest.approx(await queue.now() + MINUTE, abs=2000)


async def test_said_twice_it_is_done(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    assert await queue.release(lease) == ["released"]
    before = await queue.dump()
    assert await queue.release(lease) == ["done"]
    assert await queue.dump() == before


async def test_a_stale_holder_changes_nothing(queue: QueueStore) -> None:
    await queue.admitted()
    [stale] = await queue.lease()
    await queue.expire(stale)
    await queue.reclaim()
    [fresh] = await queue.lease(holder="w2")
    before = await queue.dump()
    assert await queue.release(stale) == ["lost"]
    assert await queue.release(Held(fresh.id, fresh.fence, "w1")) == ["lost"]
    assert await queue.release(Held("nobody.0", 1, "w1")) == ["lost"]
    assert await queue.release(Held(fresh.id, stale.fence, "w2")) == ["lost"]
    assert await queue.dump() == before


async def test_what_was_to_be_held_is_held(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.hold(lease.id)
    assert await queue.release(lease) == ["held"]
    assert await queue.place(lease.id) is Place.HELD


async def test_what_was_to_be_cancelled_goes_to_its_next_holder(queue: QueueStore) -> None:
    """Even where it was to be held before: a cancelled delivery is not kept."""
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.hold(lease.id)
    await queue.reschedule(lease.id, due_ms=await queue.now() + MINUTE)
    await queue.cancel(lease.id)
    assert await queue.hold(lease.id) == ["cancelling"]
    assert await queue.release(lease) == ["released"]
    [again] = await queue.lease()
    assert await queue.settle(again, verb="later") == ["cancelled"]


async def test_what_was_to_go_at_another_time_waits_until_then(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    due = await queue.now() + 90 * MINUTE
    await queue.reschedule(lease.id, due_ms=due)
    assert await queue.release(lease) == ["later"]
    assert await queue.scores(queue.keys.later) == {lease.id: due}
    assert await queue.scores(queue.keys.wake) == {}


async def test_a_held_queue_is_not_rung(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.pause("q:a.example")
    assert await queue.release(lease) == ["released"]
    assert await queue.scores(queue.keys.wake) == {}


async def test_a_held_tenants_queue_is_not_rung(queue: QueueStore) -> None:
    await queue.admitted(New(lane="nx"))
    [lease] = await queue.lease()
    await queue.pause("t:x")
    assert await queue.release(lease) == ["released"]
    assert await queue.scores(queue.keys.wake) == {}


async def test_what_a_newer_version_wrote_is_left_alone_and_the_others_released(
    queue: QueueStore,
) -> None:
    for _ in range(2):
        await queue.admitted()
    newer, mine = await queue.lease()
    value = await queue.newer(newer.id)
    assert await queue.release(newer, mine) == ["lost", "released"]
    await queue.client.read("HSET", queue.keys.deliveries, newer.id, b"\x01" + value[1:])


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    async with queue.full():
        assert await queue.release(lease) == ["released"]


async def test_a_missing_fence_is_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("release", queue.fixed("release"), "w1", 0, "id")
