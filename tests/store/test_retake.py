"""Leases and outcomes that a store lost are taken back, and what may be sent twice is counted.

A store that loses its last writes is one whose keys are put back to what they were.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.store.client import StoreClient
from relay.store.codec import Place
from tests.support.queue import LEASE_MS, QueueStore
from tests.support.stored import Held

Kept = list[tuple[bytes, bytes, int]]


async def keep(client: StoreClient) -> Kept:
    """All that the store has now."""
    names = await client.read("KEYS", "*")
    return [
        (name, await client.read("DUMP", name), max(0, await client.read("PTTL", name)))
        for name in names
    ]


async def put_back(client: StoreClient, kept: Kept) -> None:
    """What was written since is lost."""
    await client.command("FLUSHALL")
    for name, value, ttl in kept:
        await client.command("RESTORE", name, ttl, value)


async def retake(queue: QueueStore, *leases: Held, holder: str = "") -> list[str]:
    """Say retake."""
    names = queue.fixed("retake") + [queue.keys.record(lease.message) for lease in leases]
    args: list[str | bytes | int] = [holder or leases[0].holder, LEASE_MS]
    for lease in leases:
        args += (lease.id, lease.fence)
    return [str(word) for word in await queue.run("retake", names, *args)]


async def doubles(queue: QueueStore, message: str) -> int:
    """What the record counts."""
    return int((await queue.record(message)).get("p", 0))


async def test_a_lease_that_the_store_lost_is_taken_back_and_settled(
    client: StoreClient, queue: QueueStore
) -> None:
    message = await queue.admitted()
    kept = await keep(client)
    [lease] = await queue.lease()
    await put_back(client, kept)
    assert await queue.settle(lease) == ["lost"]
    assert await retake(queue, lease) == ["retaken"]
    assert await retake(queue, lease) == ["kept"]
    assert await queue.extend(lease) == ["kept"]
    assert await queue.settle(lease) == ["settled"]
    assert await doubles(queue, message) == 0


async def test_an_outcome_that_the_store_lost_is_recorded_when_it_is_offered_again(
    client: StoreClient, queue: QueueStore
) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    kept = await keep(client)
    assert await queue.settle(lease) == ["settled"]
    await put_back(client, kept)
    assert await queue.settle(lease) == ["settled"]
    assert await queue.settle(lease) == ["done"]


async def test_where_another_had_it_meanwhile_both_may_have_sent_it(
    client: StoreClient, queue: QueueStore
) -> None:
    message = await queue.admitted()
    kept = await keep(client)
    [ours] = await queue.lease(holder="w1")
    await put_back(client, kept)
    [theirs] = await queue.lease(holder="w2")
    assert theirs.fence == ours.fence
    for _ in range(2):
        assert await retake(queue, ours) == ["doubled"]
    assert await doubles(queue, message) == 1
    assert await queue.settle(theirs) == ["settled"]
    assert await retake(queue, ours) == ["doubled"]
    assert await doubles(queue, message) == 1


async def test_where_another_made_it_final_both_may_have_sent_it(
    client: StoreClient, queue: QueueStore
) -> None:
    message = await queue.admitted()
    kept = await keep(client)
    [ours] = await queue.lease(holder="w1")
    await put_back(client, kept)
    [theirs] = await queue.lease(holder="w2")
    await queue.settle(theirs)
    assert await retake(queue, ours) == ["doubled"]
    assert await doubles(queue, message) == 1


async def test_what_was_reclaimed_was_counted_then(queue: QueueStore) -> None:
    message = await queue.admitted()
    [ours] = await queue.lease(holder="w1")
    await queue.reclaim()
    await queue.expire(ours)
    assert (await queue.reclaim())[:2] == ["reclaimed", 1]
    assert await retake(queue, ours) == ["lost"]
    [theirs] = await queue.lease(holder="w2")
    assert await retake(queue, ours) == ["lost"]
    await queue.settle(theirs)
    assert await retake(queue, ours) == ["lost"]
    assert await doubles(queue, message) == 1


async def test_one_that_was_held_meanwhile_is_held_again_after_a_deferral(
    client: StoreClient, queue: QueueStore
) -> None:
    message = await queue.admitted()
    kept = await keep(client)
    [lease] = await queue.lease()
    await put_back(client, kept)
    await queue.hold(lease.id)
    assert await retake(queue, lease) == ["retaken"]
    assert await queue.extend(lease) == ["hold"]
    assert await queue.settle(lease, verb="later") == ["held"]
    assert await queue.place(f"{message}.0") is Place.HELD


async def test_a_deferral_that_the_store_lost_waits_as_it_was_to(
    client: StoreClient, queue: QueueStore
) -> None:
    message = await queue.admitted()
    kept = await keep(client)
    [first] = await queue.lease()
    await put_back(client, kept)
    words: Sequence[str] = await retake(queue, first)
    assert words == ["retaken"]
    assert await queue.settle(first, verb="later") == ["settled"]
    assert await queue.place(f"{message}.0") is Place.LATER
