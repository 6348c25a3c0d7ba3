"""extend: leases are renewed by who holds them, and by nobody else."""

from __future__ import annotations

import pytest

from relay.store.wire import ReplyError
from tests.support.queue import LEASE_MS, QueueStore
from tests.support.stored import Held


async def test_a_lease_is_renewed_from_now_on(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.set_score(queue.keys.leased, lease.id, 1)
    assert await queue.extend(lease) == ["kept"]
    assert await queue.extend(lease) == ["kept"]
    left = (await queue.scores(queue.keys.leased))[lease.id] - await queue.now()
    assert LEASE_MS - 1000 < left <= LEASE_MS


async def test_what_is_held_no_longer_is_lost_and_not_renewed(queue: QueueStore) -> None:
    await queue.admitted()
    [stale] = await queue.lease()
    await queue.expire(stale)
    await queue.reclaim()
    assert await queue.extend(stale) == ["lost"]
    [fresh] = await queue.lease(holder="w2")
    await queue.set_score(queue.keys.leased, fresh.id, 1)
    twin = Held(fresh.id, fresh.fence, "w1")
    assert await queue.extend(stale) == ["lost"]
    assert await queue.extend(twin) == ["lost"], "a fence alone is no right"
    assert (await queue.scores(queue.keys.leased))[fresh.id] == 1


async def test_the_holder_hears_what_was_asked_for_meanwhile(queue: QueueStore) -> None:
    for _ in range(3):
        await queue.admitted()
    one, two, three = await queue.lease()
    await queue.cancel(one.id)
    await queue.hold(two.id)
    assert await queue.extend(one, two, three) == ["cancel", "hold", "kept"]


async def test_what_a_newer_version_wrote_is_left_alone_and_the_others_renewed(
    queue: QueueStore,
) -> None:
    for _ in range(2):
        await queue.admitted()
    newer, mine = await queue.lease()
    value = await queue.newer(newer.id)
    await queue.set_score(queue.keys.leased, newer.id, 1)
    assert await queue.extend(newer, mine) == ["lost", "kept"]
    assert (await queue.scores(queue.keys.leased))[newer.id] == 1
    await queue.client.read("HSET", queue.keys.deliveries, newer.id, b"\x01" + value[1:])


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    async with queue.full():
        assert await queue.extend(lease) == ["kept"]


async def test_a_missing_fence_is_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("extend", queue.fixed("extend"), "w1", LEASE_MS, "id")
