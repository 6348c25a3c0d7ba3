"""trim: events go when every consumer has applied them a while ago, and never before."""

from __future__ import annotations

import asyncio

import pytest

from relay.store.client import StoreClient
from relay.store.wire import ReplyError
from tests.support.costs import cpu_ms
from tests.support.queue import MINUTE, New, QueueStore

ALL = ("dsn", "hooks")


@pytest.fixture
def outbox(client: StoreClient) -> QueueStore:
    """The queue, without the check at the end that all events are still there."""
    return QueueStore(client)


async def told(outbox: QueueStore, count: int) -> list[str]:
    """That many events; their ids."""
    key = outbox.keys.events
    said = [outbox.client.read("XADD", key, "*", "id.0", "d1") for _ in range(count)]
    return [event.decode() for event in await asyncio.gather(*said)]


async def applied(outbox: QueueStore, consumer: str, event: str) -> str:
    """The consumer's cursor."""
    answer = await outbox.run("advance", [outbox.keys.cursors], consumer, event)
    return str(answer[1])


async def looked(outbox: QueueStore, ago: int) -> None:
    """As if the last look had been that long ago."""
    value = await outbox.client.read("HGET", outbox.keys.cursors, "")
    rest = value.partition(b" ")[2]
    stamp = b"%d " % (await outbox.now() - ago)
    await outbox.client.read("HSET", outbox.keys.cursors, "", stamp + rest)


async def length(outbox: QueueStore) -> int:
    return int(await outbox.client.read("XLEN", outbox.keys.events))


async def test_events_go_up_to_the_lowest_cursor_of_a_while_ago(outbox: QueueStore) -> None:
    ids = await told(outbox, 500)
    await applied(outbox, "dsn", ids[-1])
    await applied(outbox, "hooks", ids[300])
    assert await outbox.trim(*ALL) == ["trimmed", 0, 0]
    await applied(outbox, "hooks", ids[-1])
    await looked(outbox, 4 * MINUTE)
    assert await outbox.trim(*ALL) == ["trimmed", 0, 0]

    await looked(outbox, 6 * MINUTE)
    assert await outbox.trim(*ALL) == ["trimmed", 300, 0]
    first = (await outbox.client.read("XRANGE", outbox.keys.events, "-", "+", "COUNT", 1))[0][0]
    assert first.decode() == ids[300]
    await looked(outbox, 6 * MINUTE)
    assert (await outbox.trim(*ALL))[1] == 100, "whole nodes of the stream go, so some stay"


async def test_said_twice_there_is_nothing_left(outbox: QueueStore) -> None:
    ids = await told(outbox, 300)
    for consumer in ALL:
        await applied(outbox, consumer, ids[-1])
    await outbox.trim(*ALL)
    await looked(outbox, 6 * MINUTE)
    assert (await outbox.trim(*ALL))[1] == 200
    before = await outbox.dump()
    assert await outbox.trim(*ALL) == ["trimmed", 0, 0]
    assert await outbox.dump() == before


async def test_a_consumer_without_a_cursor_holds_everything(outbox: QueueStore) -> None:
    ids = await told(outbox, 300)
    await applied(outbox, "dsn", ids[-1])
    for _ in range(3):
        assert await outbox.trim(*ALL) == ["trimmed", 0, 0]
    assert await outbox.client.read("HEXISTS", outbox.keys.cursors, "") == 0


async def test_a_cursor_that_was_set_back_holds_what_it_points_at(outbox: QueueStore) -> None:
    ids = await told(outbox, 400)
    for consumer in ALL:
        await applied(outbox, consumer, ids[-1])
    await outbox.trim(*ALL)
    await outbox.client.read("HSET", outbox.keys.cursors, "dsn", ids[150])
    await looked(outbox, 6 * MINUTE)
    await outbox.trim(*ALL)
    assert await length(outbox) == 300


async def test_it_is_bounded(outbox: QueueStore) -> None:
    ids = await told(outbox, 500)
    for consumer in ALL:
        await applied(outbox, consumer, ids[-1])
    await outbox.trim(*ALL)
    await looked(outbox, 6 * MINUTE)
    assert [(await outbox.trim(*ALL, limit=200))[1] for _ in range(3)] == [200, 200, 0]


async def test_a_look_from_before_a_jump_of_the_clock_is_taken_anew(outbox: QueueStore) -> None:
    ids = await told(outbox, 300)
    for consumer in ALL:
        await applied(outbox, consumer, ids[-1])
    await outbox.trim(*ALL)
    await looked(outbox, -60 * MINUTE)
    assert (await outbox.trim(*ALL))[1] == 0
    await looked(outbox, 6 * MINUTE)
    assert (await outbox.trim(*ALL))[1] == 200


async def test_reasons_of_queues_that_wait_no_more_are_forgotten(outbox: QueueStore) -> None:
    for name in ("a.example", "b.example"):
        await outbox.admitted(New(queue=name))
    await outbox.park("a.example", "b.example")
    [one, _] = await outbox.scores(outbox.keys.age)
    await outbox.cancel(one)
    assert await outbox.trim(*ALL) == ["trimmed", 0, 1]
    assert await outbox.client.read("HKEYS", outbox.keys.reasons) == [b"b.example"]


async def test_a_thousand_events_take_less_than_five_milliseconds(outbox: QueueStore) -> None:
    ids = await told(outbox, 8000)
    for consumer in ALL:
        await applied(outbox, consumer, ids[-1])
    await outbox.trim(*ALL)
    await looked(outbox, 6 * MINUTE)
    took = []
    for _ in range(7):
        before = await cpu_ms(outbox.client)
        assert (await outbox.trim(*ALL, limit=1000))[1] == 1000
        took.append(await cpu_ms(outbox.client) - before)
    assert 0 < min(took) < 5


async def test_it_works_at_maxmemory(outbox: QueueStore) -> None:
    ids = await told(outbox, 300)
    for consumer in ALL:
        await applied(outbox, consumer, ids[-1])
    await outbox.trim(*ALL)
    await looked(outbox, 6 * MINUTE)
    async with outbox.full():
        assert (await outbox.trim(*ALL))[1] == 200


async def test_without_consumers_events_go_by_their_age(outbox: QueueStore) -> None:
    await told(outbox, 300)
    await outbox.tick()
    assert await outbox.trim() == ["trimmed", 0, 0]
    await looked(outbox, 6 * MINUTE)
    assert (await outbox.trim())[1] == 300


async def test_missing_arguments_are_refused(outbox: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await outbox.run("trim", outbox.fixed("trim"), 1)
