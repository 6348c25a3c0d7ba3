"""Queues: how much waits where, without looking at everything."""

from __future__ import annotations

import pytest

from relay.store.client import StoreClient
from relay.store.queues import Queues
from tests.support.queue import MINUTE, New, QueueStore, attempt


@pytest.fixture
def queues(client: StoreClient) -> Queues:
    return Queues(client, 1)


async def test_an_empty_store_has_no_queues(queue: QueueStore, queues: Queues) -> None:
    found = await queues.count()
    assert (found.queues, found.partial) == ((), False)
    assert found.now_ms == pytest.approx(await queue.now(), abs=2000)


async def test_deliveries_are_counted_by_queue_and_place(queue: QueueStore, queues: Queues) -> None:
    due = await queue.now() + MINUTE
    for _ in range(3):
        await queue.admitted(New(queue="b.example"))
    message = await queue.admitted(New(), New(), New(), New(due_ms=due), New(due_ms=due + 1))
    await queue.lease(count=1)
    await queue.hold(message + ".2")
    await queue.set_score(queue.keys.age, message + ".3", 1000)
    found = await queues.count()
    a, b = found.queues
    assert (a.queue, a.ready, a.leased, a.later, a.held) == ("a.example", 1, 1, 2, 1)
    assert (a.total, a.oldest_ms, a.next_ms) == (5, 1000, due)
    assert (b.queue, b.ready, b.total, b.next_ms) == ("b.example", 3, 3, 0)
    totals = found.totals
    assert (totals.ready, totals.leased, totals.later, totals.held) == (4, 1, 2, 1)


async def test_what_is_set_aside_or_held_counts_too(queue: QueueStore, queues: Queues) -> None:
    await queue.pause("t:x", "q:b.example")
    await queue.admitted(New(lane="nx"))
    await queue.admitted(New(queue="b.example"))
    counts = {count.queue: (count.ready, count.paused) for count in (await queues.count()).queues}
    assert counts == {"a.example": (1, False), "b.example": (1, True)}


async def test_a_parked_queue_says_until_when_and_why(queue: QueueStore, queues: Queues) -> None:
    await queue.admitted()
    await queue.park("a.example", wait_ms=9 * MINUTE, why="421 closed")
    [count] = (await queues.count()).queues
    assert count.parked_ms == (await queue.scores(queue.keys.wake))["a.example"]
    assert count.reason == b"%d 421 closed" % count.parked_ms
    await queue.set_score(queue.keys.wake, "a.example", 1)
    await queue.ring()
    [count] = (await queues.count()).queues
    assert count.parked_ms == 0


async def test_a_deferred_delivery_leads_to_the_last_reply(
    queue: QueueStore, queues: Queues
) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.settle(lease, verb="later", outcome=attempt(fate="deferred"), slot="3")
    [count] = (await queues.count()).queues
    assert count.deferred == lease.id
    assert (await queues.last_attempts(lease.id))[3] == attempt(fate="deferred")


async def test_beyond_the_sample_totals_and_ready_ones_stay_exact(
    queue: QueueStore, client: StoreClient
) -> None:
    due = await queue.now() + MINUTE
    for _ in range(10):
        await queue.admitted(New(), New(due_ms=due))
    found = await Queues(client, 1, sample=4).count()
    assert found.partial
    assert (found.totals.ready, found.totals.later) == (10, 10)
    [count] = found.queues
    assert count.ready == 10
    assert 4 <= count.later < 10


async def test_partitions_are_counted_together(client: StoreClient) -> None:
    queue = QueueStore(client)
    for partition in (0, 1):
        queue.partition(partition, 2)
        await queue.admitted()
    found = await Queues(client, 2).count()
    assert [(count.queue, count.ready) for count in found.queues] == [("a.example", 2)]
    assert found.totals.ready == 2
