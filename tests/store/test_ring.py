"""ring: which queues are to be rung, each once until its deadline."""

from __future__ import annotations

import pytest

from relay.store.wire import ReplyError
from tests.support.queue import DEADLINE_MS, MINUTE, New, QueueStore


async def wake(queue: QueueStore, **at: int) -> None:
    """Queues with a ready delivery each, to be rung that many ms from now."""
    for name, ms in at.items():
        await queue.admitted(New(queue=name))
        await queue.set_score(queue.keys.wake, name, await queue.now() + ms)


async def test_those_whose_time_has_come_are_rung_in_its_order(queue: QueueStore) -> None:
    await wake(queue, a=-1000, b=-5000, c=MINUTE)
    next_ms, *rung = await queue.ring()
    assert rung == ["b", "a"]
    assert next_ms == pytest.approx(await queue.now() + DEADLINE_MS, abs=1000)


async def test_said_twice_it_names_the_next_ones(queue: QueueStore) -> None:
    await wake(queue, a=-3000, b=-2000, c=-1000)
    assert [(await queue.ring(limit=2))[1:] for _ in range(3)] == [["a", "b"], ["c"], []]


async def test_nobody_waits(queue: QueueStore) -> None:
    assert await queue.ring() == [0]


async def test_a_time_from_before_a_jump_of_the_clock_is_brought_back(queue: QueueStore) -> None:
    await wake(queue, a=100 * MINUTE)
    [next_ms] = await queue.ring(longest_ms=10 * MINUTE)
    assert next_ms <= await queue.now() + 10 * MINUTE


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    await wake(queue, a=-1)
    async with queue.full():
        assert (await queue.ring())[1:] == ["a"]


async def test_missing_arguments_are_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("ring", queue.fixed("ring"), 50)
