"""begin: a delivery that is to be alone is named to the store before its holder works on it."""

from __future__ import annotations

import asyncio

import pytest

from relay.store.codec import Flag
from relay.store.wire import ReplyError
from tests.support.queue import New, QueueStore
from tests.support.stored import Held


async def leased(queue: QueueStore) -> Held:
    await queue.admitted(New(flags=Flag.ALONE))
    [lease] = await queue.lease()
    return lease


async def suspects(queue: QueueStore) -> list[str]:
    """Holders, and what each has begun with, without the time."""
    found: list[bytes] = await queue.client.read("HGETALL", queue.keys.suspects)
    return [word.decode().partition(" ")[0] for word in found]


async def test_the_store_knows_which_one_a_holder_has_begun_with(queue: QueueStore) -> None:
    lease = await leased(queue)
    assert await queue.begin(lease) == ["begun"]
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert stored.flags == Flag.ALONE | Flag.BEGUN
    assert await suspects(queue) == ["w1", lease.id]


async def test_said_twice_it_is_the_same(queue: QueueStore) -> None:
    lease = await leased(queue)
    await queue.begin(lease)
    known = await queue.dump()
    await asyncio.sleep(0.002)
    assert await queue.begin(lease) == ["begun"]
    assert await queue.dump() == known, "since when is kept"
    for _ in range(2):
        assert await queue.begin(None) == ["none"]
        assert await suspects(queue) == []


async def test_one_that_another_holds_is_not_begun_with(queue: QueueStore) -> None:
    lease = await leased(queue)
    before = await queue.dump()
    assert await queue.begin(Held(lease.id, lease.fence, "w2")) == ["lost"]
    assert await queue.begin(Held(lease.id, lease.fence + 1, "w1")) == ["lost"]
    assert await queue.dump() == before


async def test_what_is_given_back_was_not_begun_with(queue: QueueStore) -> None:
    lease = await leased(queue)
    await queue.begin(lease)
    await queue.release(lease)
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert stored.flags == Flag.ALONE


async def test_holders_that_ended_are_not_remembered_without_bound(queue: QueueStore) -> None:
    lease = await leased(queue)
    fields = [word for n in range(2000) for word in (f"gone{n}", "x")]
    await queue.client.read("HSET", queue.keys.suspects, *fields)
    await queue.begin(lease)
    assert await suspects(queue) == ["w1", lease.id]


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    lease = await leased(queue)
    async with queue.full():
        assert await queue.begin(lease) == ["begun"]


async def test_missing_arguments_are_refused_untouched(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("begin", queue.fixed("begin"), "w1", "id")
    assert await queue.dump() == {}
