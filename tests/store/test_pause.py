"""pause and resume: whole queues and tenants are held, and go on without losing their place."""

from __future__ import annotations

import pytest

from relay.store.wire import ReplyError
from tests.support.queue import MINUTE, New, QueueStore


async def test_a_queue_stops_at_once_and_goes_on(queue: QueueStore) -> None:
    message = await queue.admitted()
    assert await queue.pause("q:a.example", why="asked for") == ["paused", 1]
    assert await queue.lease() == []
    assert await queue.ring() == [0]
    assert await queue.resume("q:a.example") == ["resumed", "a.example"]
    assert [lease.message for lease in await queue.lease()] == [message]


async def test_what_is_leased_already_goes_on(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.pause("q:a.example")
    assert await queue.extend(lease) == ["kept"]
    assert await queue.settle(lease) == ["settled"]
    assert await queue.resume("q:a.example") == ["resumed"]


async def test_said_twice_the_first_time_and_reason_stand(queue: QueueStore) -> None:
    assert await queue.pause("q:a.example", "t:x", why="first") == ["paused", 2]
    before = await queue.dump()
    assert await queue.pause("q:a.example", "t:x", why="second") == ["paused", 0]
    assert await queue.dump() == before
    value = await queue.client.read("HGET", queue.keys.paused, "t:x")
    assert value[:1] == b"h"
    assert int(value[1:14]) == pytest.approx(await queue.now(), abs=2000)
    assert value[14:] == b"first"


async def test_a_tenant_stops_at_once_everywhere_and_goes_on(queue: QueueStore) -> None:
    mine = {
        await queue.admitted(New(queue=name, lane=lane))
        for name in ("a.example", "b.example")
        for lane in ("nx", "hx")
    }
    other = await queue.admitted(New(lane="nxy"))
    await queue.pause("t:x")
    for name in ("a.example", "b.example"):
        assert [lease.message for lease in await queue.lease(name)] == [other] * (name[0] == "a")

    assert await queue.resume("t:x") == ["resumed", "a.example", "b.example"]
    leases = [*await queue.lease("a.example"), *await queue.lease("b.example")]
    assert {lease.message for lease in leases} == mine


async def test_many_lanes_go_on_in_steps(queue: QueueStore) -> None:
    await queue.pause("t:x")
    for number in range(5):
        await queue.admitted(New(queue=f"{number}.example", lane="nx"))
    assert await queue.resume("t:x", limit=2) == ["more", "0.example", "1.example"]
    late = await queue.admitted(New(queue="9.example", lane="nx"))
    assert [lease.message for lease in await queue.lease("9.example")] == [late]
    value = await queue.client.read("HGET", queue.keys.paused, "t:x")
    assert value[:1] == b"u", "whoever finds it may go on with it"
    assert await queue.resume("t:x", limit=2) == ["more", "2.example", "3.example"]
    assert await queue.resume("t:x", limit=2) == ["resumed", "4.example"]
    assert await queue.resume("t:x", limit=2) == ["resumed"]


async def test_a_tenant_held_again_half_way_stays_held(queue: QueueStore) -> None:
    await queue.pause("t:x")
    for number in range(4):
        await queue.admitted(New(queue=f"{number}.example", lane="nx"))
    await queue.resume("t:x", limit=2)
    await queue.pause("t:x")
    for number in range(4):
        assert await queue.lease(f"{number}.example") == []
    assert len(await queue.scores(queue.keys.aside)) == 4


async def test_a_tenants_new_mail_is_set_aside(queue: QueueStore) -> None:
    await queue.pause("t:x")
    _, _, *rung = await queue.admit(New(lane="nx"))
    assert rung == []
    assert list(await queue.scores(queue.keys.aside)) == ["x|a.example|nx"]


async def test_the_default_tenant_can_be_held(queue: QueueStore) -> None:
    other = await queue.admitted(New(lane="nx"))
    mine = await queue.admitted(New(lane="n"))
    await queue.pause("t:")
    assert [lease.message for lease in await queue.lease()] == [other]
    assert await queue.resume("t:") == ["resumed", "a.example"]
    assert [lease.message for lease in await queue.lease()] == [mine]


async def test_a_queue_and_its_tenant_both_held(queue: QueueStore) -> None:
    await queue.admitted(New(lane="nx"))
    await queue.pause("q:a.example", "t:x")
    assert await queue.resume("t:x") == ["resumed"]
    assert await queue.lease() == []
    assert await queue.resume("q:a.example") == ["resumed", "a.example"]


async def test_parked_queues_stay_parked(queue: QueueStore) -> None:
    await queue.admitted(New(lane="ny"))
    await queue.pause("t:x")
    await queue.admitted(New(lane="nx"))
    await queue.park("a.example", wait_ms=9 * MINUTE)
    assert await queue.resume("t:x") == ["resumed"]
    wake = (await queue.scores(queue.keys.wake))["a.example"]
    assert wake > await queue.now() + 8 * MINUTE


async def test_they_work_at_maxmemory(queue: QueueStore) -> None:
    await queue.admitted(New(lane="nx"))
    async with queue.full():
        await queue.pause("t:x")
        assert await queue.lease() == []
        assert await queue.resume("t:x") == ["resumed", "a.example"]


@pytest.mark.parametrize("name", ["a.example", "x:a", ""])
async def test_other_names_are_refused_untouched(queue: QueueStore, name: str) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.pause("q:a", name)
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.resume(name)
    assert await queue.dump() == {}
