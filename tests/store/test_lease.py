"""lease: who is served next, and what a grant is."""

from __future__ import annotations

from collections import Counter

import pytest

from relay.store.codec import Flag, Place, decode_stored
from relay.store.wire import ReplyError
from tests.support.queue import DEADLINE_MS, LEASE_MS, MINUTE, New, QueueStore


async def test_a_lane_is_served_first_in_first_out(queue: QueueStore) -> None:
    messages = [await queue.admitted() for _ in range(4)]
    taken = [lease.message for lease in await queue.lease(count=3)]
    taken += [lease.message for lease in await queue.lease()]
    assert taken == messages


async def test_a_lease_has_a_holder_a_fence_and_an_end_by_the_stores_clock(
    queue: QueueStore,
) -> None:
    message = await queue.admitted()
    now = await queue.now()
    expires, entry = await queue.lease_raw(("a.example", 1), holder="w7")
    stored = decode_stored(entry[2])
    assert (stored.place, stored.holder, stored.fence) == (Place.LEASED, "w7", 1)
    assert now + LEASE_MS <= expires <= await queue.now() + LEASE_MS
    assert await queue.scores(queue.keys.leased) == {message + ".0": expires}


async def test_each_lease_has_a_higher_fence(queue: QueueStore) -> None:
    await queue.admitted()
    fences = []
    for _ in range(3):
        [lease] = await queue.lease()
        fences.append(lease.fence)
        await queue.release(lease)
    assert fences == [1, 2, 3]


async def test_said_twice_it_grants_the_same(queue: QueueStore) -> None:
    for _ in range(4):
        await queue.admitted()
    first = await queue.lease(count=2, seq=7)
    assert await queue.lease(count=2, seq=7) == first
    assert len(await queue.scores(queue.keys.leased)) == 2
    assert len(await queue.lease(count=2, seq=8)) == 2


async def test_said_twice_it_grants_only_what_is_still_held(queue: QueueStore) -> None:
    for _ in range(2):
        await queue.admitted()
    first = await queue.lease(seq=7)
    await queue.settle(first[0])
    assert await queue.lease(seq=7) == first[1:]


async def test_several_queues_are_served_within_one_budget(queue: QueueStore) -> None:
    for name in ("a.example", "b.example", "c.example"):
        for _ in range(2):
            await queue.admitted(New(queue=name))
    wants = [("a.example", 5), ("b.example", 1), ("c.example", 5), ("d.example", 5)]
    _, a, b, c, d = await queue.lease_raw(*wants, most=4)
    assert (a[0], b[0], c[0], d[0]) == (0, 1, 1, 1)
    assert [len(entry) // 2 for entry in (a, b, c, d)] == [2, 1, 1, 0]
    _, spent = await queue.lease_raw(("c.example", 5), most=0)
    assert spent == [1]


async def test_an_emptied_queue_is_forgotten_and_one_with_more_is_rung_later(
    queue: QueueStore,
) -> None:
    for name in ("a.example", "a.example", "b.example"):
        await queue.admitted(New(queue=name))
    await queue.park("a.example", "b.example", wait_ms=0, why="dead")
    await queue.lease_raw(("a.example", 1), ("b.example", 1))
    now = await queue.now()
    wake = await queue.scores(queue.keys.wake)
    assert wake == {"a.example": pytest.approx(now + DEADLINE_MS, abs=1000)}
    assert await queue.client.read("HKEYS", queue.keys.reasons) == [b"a.example"]


async def test_queues_that_are_emptied_leave_nothing_behind(queue: QueueStore) -> None:
    names = [f"{number}.example" for number in range(30)]
    messages = [await queue.admitted(New(queue=name)) for name in names]
    _, *entries = await queue.lease_raw(*((name, 5) for name in names))
    assert [entry[1].decode() for entry in entries] == [message + ".0" for message in messages]
    assert len(await queue.scores(queue.keys.leased)) == 30
    for key in (queue.keys.ready, queue.keys.turns, queue.keys.wake, queue.keys.clock):
        assert await queue.client.read("EXISTS", key) == 0, key


async def test_a_queue_that_is_named_twice_is_granted_once(queue: QueueStore) -> None:
    message = await queue.admitted()
    _, first, again = await queue.lease_raw(("a.example", 5), ("a.example", 5))
    assert (first[0], [first[1]], again) == (0, [f"{message}.0".encode()], [0])
    messages = [await queue.admitted() for _ in range(2)]
    _, first, again = await queue.lease_raw(("a.example", 1), ("a.example", 5))
    assert [first[1], again[1]] == [f"{message}.0".encode() for message in messages]


async def test_a_tenant_with_a_thousand_waiting_does_not_delay_another(queue: QueueStore) -> None:
    for _ in range(20):
        await queue.admitted(*(New(lane="nbig") for _ in range(50)))
    small = {await queue.admitted(New(lane="nsmall")) for _ in range(40)}
    first = await queue.lease(count=50)
    share = sum(lease.message in small for lease in first)
    assert 20 <= share <= 30, share


@pytest.mark.parametrize(
    ("cost", "share"), [pytest.param(10, 0.5, id="equal"), pytest.param(30, 0.75, id="a third")]
)
async def test_the_share_of_a_lane_is_inverse_to_what_its_deliveries_cost(
    queue: QueueStore, cost: int, share: float
) -> None:
    for _ in range(6):
        await queue.admitted(*(New(lane="nx", cost=10) for _ in range(50)))
        await queue.admitted(*(New(lane="ny", cost=cost) for _ in range(50)))
    lanes: Counter[str] = Counter()
    for _ in range(8):
        for lease in await queue.lease(count=25):
            stored = await queue.stored(lease.id)
            assert stored is not None
            lanes[stored.lane] += 1
    assert lanes["nx"] / lanes.total() == pytest.approx(share, abs=0.06)


async def test_classes_are_lanes_of_their_own(queue: QueueStore) -> None:
    for lane, cost in (("lt", 40), ("nt", 10), ("ht", 2)):
        await queue.admitted(*(New(lane=lane, cost=cost) for _ in range(50)))
    lanes: Counter[str] = Counter()
    for lease in await queue.lease(count=50):
        stored = await queue.stored(lease.id)
        assert stored is not None
        lanes[stored.lane] += 1
    assert lanes["ht"] > lanes["nt"] >= lanes["lt"] > 0


async def test_a_new_lane_starts_at_the_queues_clock(queue: QueueStore) -> None:
    """Neither ahead of those who wait since long, nor with credit for the time before it came."""
    for lane in ("nx", "ny"):
        await queue.admitted(*(New(lane=lane) for _ in range(50)))
    for _ in range(4):
        await queue.lease(count=10)
    late = await queue.admitted(*(New(lane="nz") for _ in range(50)))
    for lane in ("nx", "ny"):
        await queue.admitted(*(New(lane=lane) for _ in range(50)))
    mine = [lease.message == late for lease in await queue.lease(count=45)]
    assert sum(mine) == pytest.approx(15, abs=5)


async def test_a_delivery_marked_alone_is_leased_singly(queue: QueueStore) -> None:
    messages = [await queue.admitted() for _ in range(4)]
    leases = await queue.lease(count=2)
    await queue.expire(leases[1])
    await queue.reclaim()
    await queue.release(leases[0])

    grants = [[lease.message for lease in await queue.lease()] for _ in range(3)]
    assert grants == [messages[:1], messages[1:2], messages[2:]]


async def test_of_a_held_queue_nothing_is_leased(queue: QueueStore) -> None:
    await queue.admitted()
    await queue.pause("q:a.example")
    assert await queue.lease() == []
    await queue.admitted()
    assert await queue.lease() == []
    assert await queue.scores(queue.keys.wake) == {}


async def test_of_a_held_tenant_nothing_is_leased(queue: QueueStore) -> None:
    await queue.admitted(New(lane="nx"))
    other = await queue.admitted(New(lane="ny"))
    await queue.pause("t:x")
    await queue.admitted(New(lane="hx"))
    assert [lease.message for lease in await queue.lease()] == [other]
    assert await queue.lease() == []
    assert await queue.scores(queue.keys.wake) == {}


async def test_many_held_lanes_do_not_make_one_call_long(queue: QueueStore) -> None:
    for number in range(120):
        await queue.admitted(New(lane=f"n{number:03d}"))
        await queue.pause(f"t:{number:03d}")
    last = await queue.admitted(New(lane="nz"))
    assert await queue.lease() == []
    assert [lease.message for lease in await queue.lease()] == [last]


async def test_what_a_newer_version_wrote_is_left_to_a_newer_worker(queue: QueueStore) -> None:
    first, second = await queue.admitted(), await queue.admitted()
    value = await queue.newer(second + ".0")
    assert [lease.message for lease in await queue.lease()] == [first]
    assert await queue.lease() == []
    key, name = queue.keys.deliveries, second + ".0"
    assert await queue.client.read("HGET", key, name) == value
    await queue.client.read("HSET", key, name, b"\x01" + value[1:])
    assert [lease.message for lease in await queue.lease()] == [second]


async def test_members_that_nothing_stands_behind_are_cleared_away(queue: QueueStore) -> None:
    gone, kept = await queue.admitted(), await queue.admitted(New(lane="nx"))
    await queue.client.read("HDEL", queue.keys.deliveries, gone + ".0")
    await queue.client.read("ZREM", queue.keys.age, gone + ".0")
    await queue.client.read("DEL", queue.keys.record(gone))
    await queue.client.read("ZADD", queue.keys.turns, 0, "a.example|000000000000000|nobody")
    assert [lease.message for lease in await queue.lease()] == [kept]


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    message = await queue.admitted()
    async with queue.full():
        assert [lease.message for lease in await queue.lease()] == [message]


async def test_missing_arguments_are_refused_untouched(queue: QueueStore) -> None:
    await queue.admitted()
    before = await queue.dump()
    names = queue.fixed("lease")
    names.insert(9, queue.keys.grant("w"))
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("lease", names, "w", 1, LEASE_MS, DEADLINE_MS, 50, "a.example")
    assert await queue.dump() == before


async def test_a_grant_is_forgotten_with_its_leases(queue: QueueStore) -> None:
    await queue.admitted()
    await queue.lease(holder="w1")
    left = await queue.client.read("PTTL", queue.keys.grant("w1"))
    assert LEASE_MS < left <= LEASE_MS * 2 < 2 * MINUTE


async def test_flags_of_a_lease_tell_its_holder_what_was_asked_for(queue: QueueStore) -> None:
    message = await queue.admitted(New(flags=Flag.REPORT))
    [lease] = await queue.lease()
    await queue.cancel(message + ".0")
    await queue.release(lease)
    _, entry = await queue.lease_raw(("a.example", 1))
    assert decode_stored(entry[2]).flags == Flag.REPORT | Flag.CANCEL
