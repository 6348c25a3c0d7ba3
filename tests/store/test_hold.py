"""hold: a delivery is set aside until it is let go on."""

from __future__ import annotations

import pytest

from relay.store.codec import Place
from relay.store.wire import ReplyError
from tests.support.queue import MINUTE, New, QueueStore


@pytest.mark.parametrize("due", [0, MINUTE])
async def test_what_waits_is_held_at_once(queue: QueueStore, due: int) -> None:
    message = await queue.admitted(New(due_ms=due and await queue.now() + due))
    delivery = message + ".0"
    assert await queue.hold(delivery) == ["held"]
    assert await queue.place(delivery) is Place.HELD
    since = (await queue.scores(queue.keys.held))[delivery]
    assert since == pytest.approx(await queue.now(), abs=2000)
    assert (await queue.events())[-1] == (delivery, "h0")
    assert await queue.lease() == []
    assert await queue.scores(queue.keys.wake) == {}
    assert await queue.has_content(message)


async def test_what_is_leased_is_held_by_its_holder(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    assert await queue.hold(lease.id) == ["pending"]
    assert await queue.extend(lease) == ["hold"]
    assert await queue.settle(lease) == ["settled"], "what is delivered is delivered"
    assert await queue.hold(lease.id) == ["final"]


async def test_said_twice_it_is_the_same(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    assert await queue.hold(delivery) == ["held"]
    before = await queue.dump()
    assert await queue.hold(delivery) == ["held"]
    assert await queue.dump() == before


async def test_each_delivery_has_an_answer(queue: QueueStore) -> None:
    message = await queue.admitted(*(New(queue=f"{n}.example") for n in range(4)))
    ids = [f"{message}.{n}" for n in range(4)]
    await queue.settle(*await queue.lease("0.example"))
    await queue.lease("1.example")
    await queue.cancel(ids[1], ids[2])
    unknown = queue.new_id() + ".0"
    answers = await queue.hold(*ids, unknown)
    assert answers == ["final", "cancelling", "cancelled", "held", "unknown"]


async def test_what_a_newer_version_wrote_is_refused_untouched(queue: QueueStore) -> None:
    newer, mine = await queue.admitted() + ".0", await queue.admitted() + ".0"
    value = await queue.newer(newer)
    assert await queue.hold(newer, mine) == ["newer", "held"]
    await queue.client.read("HSET", queue.keys.deliveries, newer, b"\x01" + value[1:])


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    async with queue.full():
        assert await queue.hold(delivery) == ["held"]


async def test_missing_keys_are_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("hold", queue.fixed("hold"), "id")
