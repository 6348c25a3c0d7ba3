"""park: a queue whose site takes nothing costs nothing until its time."""

from __future__ import annotations

import pytest

from relay.store.wire import ReplyError
from tests.support.queue import MINUTE, New, QueueStore


async def test_a_parked_queue_is_rung_when_its_time_comes(queue: QueueStore) -> None:
    for name in ("a.example", "b.example"):
        await queue.admitted(New(queue=name))
    await queue.set_score(queue.keys.wake, "b.example", await queue.now() - 1)
    assert await queue.park("a.example", wait_ms=5 * MINUTE, why="421 closed") == ["parked", 1]
    assert (await queue.ring())[1:] == ["b.example"]
    due = (await queue.scores(queue.keys.wake))["a.example"]
    assert due == pytest.approx(await queue.now() + 5 * MINUTE, abs=1000)
    reason = await queue.client.read("HGET", queue.keys.reasons, "a.example")
    assert reason.decode() == f"{due} 421 closed"


async def test_new_mail_does_not_ring_a_parked_queue(queue: QueueStore) -> None:
    await queue.admitted()
    await queue.park("a.example", wait_ms=5 * MINUTE)
    _, _, *rung = await queue.admit()
    assert rung == []


async def test_a_queue_that_waits_no_more_is_not_parked(queue: QueueStore) -> None:
    await queue.admitted()
    await queue.lease()
    assert await queue.park("a.example") == ["parked", 0]
    assert await queue.client.read("EXISTS", queue.keys.reasons) == 0


async def test_said_twice_it_is_parked_from_the_second_time(queue: QueueStore) -> None:
    await queue.admitted()
    assert await queue.park("a.example") == ["parked", 1]
    assert await queue.park("a.example") == ["parked", 1]


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    await queue.admitted()
    async with queue.full():
        assert await queue.park("a.example") == ["parked", 1]


async def test_missing_arguments_are_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("park", queue.fixed("park"), "a.example", 1)
