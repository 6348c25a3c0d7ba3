"""reclaim: leases that ran out are taken back, but not after the store or all workers were away."""

from __future__ import annotations

from itertools import count

import pytest

from relay.store.codec import Flag, Place
from relay.store.wire import ReplyError
from tests.support.queue import LEASE_MS, MINUTE, New, QueueStore
from tests.support.stored import Held

_LIVES = count()


async def lost(
    queue: QueueStore, message: str, *, begun: bool = False, lived_on: bool = False
) -> Held:
    """The delivery leased by another process each time, and the lease taken back; with
    `lived_on`, its process had begun with it a lease and a half before it ended."""
    [lease] = await queue.lease(holder=f"life{next(_LIVES)}")
    assert lease.message == message
    if begun:
        assert await queue.begin(lease) == ["begun"]
    if lived_on:
        since = await queue.now() - LEASE_MS * 5 // 2
        await queue.client.read("HSET", queue.keys.suspects, lease.holder, f"{lease.id} {since}")
    await queue.expire(lease)
    await queue.reclaim()
    return lease


async def test_what_ran_out_goes_back_to_the_head_and_counts_as_a_possible_double(
    queue: QueueStore,
) -> None:
    messages = [await queue.admitted() for _ in range(3)]
    one, two = await queue.lease(count=2)
    await queue.expire(two)
    assert await queue.reclaim() == ["reclaimed", 1, 0, "a.example"]
    stored = await queue.stored(two.id)
    assert stored is not None
    assert (stored.flags, stored.holder, stored.losses) == (Flag.ALONE | Flag.DOUBT, "", 0)
    assert (await queue.events())[-1] == (two.id, "p1")
    assert await queue.place(one.id) is Place.LEASED
    assert [lease.message for lease in await queue.lease()] == messages[1:2]


async def test_said_twice_there_is_nothing_left(queue: QueueStore) -> None:
    await queue.admitted()
    await queue.expire(*await queue.lease())
    assert (await queue.reclaim())[:2] == ["reclaimed", 1]
    before = await queue.dump()
    assert await queue.reclaim() == ["reclaimed", 0, 0]
    assert await queue.dump() == before


async def test_it_is_bounded_and_names_a_queue_once(queue: QueueStore) -> None:
    for _ in range(5):
        await queue.admitted()
    await queue.expire(*await queue.lease())
    assert await queue.reclaim(limit=3) == ["reclaimed", 3, 0, "a.example"]
    assert await queue.reclaim(limit=3) == ["reclaimed", 2, 0, "a.example"]


async def test_nothing_is_taken_after_a_gap(queue: QueueStore) -> None:
    """Nobody looked at leases for more than a third of a lease: their holders could not renew."""
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.expire(lease)
    now = await queue.now()
    await queue.look(now - LEASE_MS // 3 - 1000)
    word, until = await queue.reclaim()
    assert word == "grace"
    assert now + LEASE_MS <= until <= await queue.now() + LEASE_MS
    assert (await queue.reclaim())[0] == "grace", "the next look is no reason to end it"
    assert await queue.settle(lease) == ["settled"]


async def test_a_look_by_anybody_after_a_gap_begins_the_grace(queue: QueueStore) -> None:
    for _ in range(2):
        await queue.admitted()
    one, two = await queue.lease()
    await queue.expire(one)
    await queue.look(await queue.now() - MINUTE)
    assert await queue.extend(two) == ["kept"]
    assert (await queue.reclaim())[0] == "grace"


async def test_nothing_is_taken_after_the_clock_went_back(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    now = await queue.now()
    await queue.set_score(queue.keys.leased, lease.id, now + 60 * MINUTE)
    await queue.look(now + 59 * MINUTE)
    word, until = await queue.reclaim()
    assert word == "grace"
    assert now + LEASE_MS <= until <= await queue.now() + LEASE_MS
    left = (await queue.scores(queue.keys.leased))[lease.id] - now
    assert left <= LEASE_MS + 1000, "a lease from before the jump has no end"


async def test_a_grace_from_before_the_clock_went_back_ends_like_any_other(
    queue: QueueStore,
) -> None:
    now = await queue.now()
    await queue.look(now - 100, now + 60 * MINUTE)
    word, until = await queue.reclaim()
    assert word == "grace"
    assert until <= await queue.now() + LEASE_MS


async def test_after_the_grace_it_takes_what_was_not_renewed(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.set_score(queue.keys.leased, lease.id, 1)
    now = await queue.now()
    await queue.look(now - 100, now - 1)
    assert (await queue.reclaim())[:2] == ["reclaimed", 1]


async def suspicion(queue: QueueStore, message: str) -> int:
    stored = await queue.stored(message + ".0")
    assert stored is not None
    return stored.suspicion


async def test_what_ends_its_holder_time_and_again_is_held(queue: QueueStore) -> None:
    message = await queue.admitted()
    await lost(queue, message)
    for expected in (2, 3, 5):
        await lost(queue, message, begun=True)
        assert await suspicion(queue, message) == expected
        assert await queue.place(message + ".0") is Place.READY
    last = await lost(queue, message, begun=True)
    assert await queue.place(message + ".0") is Place.HELD
    assert (await queue.events())[-2:] == [(last.id, "h5"), (last.id, "p5")]
    assert await queue.scores(queue.keys.wake) == {}

    assert await queue.unhold(last.id) == [["unheld"], ["a.example"]]
    await lost(queue, message, begun=True)
    assert await queue.place(message + ".0") is Place.READY, "its losses are forgiven"


async def test_what_its_holder_lived_with_for_long_is_suspected_more_slowly(
    queue: QueueStore,
) -> None:
    """A slow one is there whenever something else ends its holder."""
    message = await queue.admitted()
    await lost(queue, message)
    for expected in (2, 3, 4, 5, 6):
        await lost(queue, message, begun=True, lived_on=True)
        assert await suspicion(queue, message) == expected
        assert await queue.place(message + ".0") is Place.READY
    await lost(queue, message, begun=True, lived_on=True)
    assert await queue.place(message + ".0") is Place.HELD


async def test_a_slow_one_is_not_held_when_others_end_in_between(queue: QueueStore) -> None:
    message = await queue.admitted()
    await lost(queue, message)
    for _ in range(3):
        await lost(queue, message, begun=True, lived_on=True)
    for _ in range(5):
        other = await queue.admitted(New(queue="b.example"))
        [lease] = await queue.lease("b.example", holder=f"life{next(_LIVES)}")
        await queue.expire(lease)
        await queue.reclaim()
        await queue.cancel(other + ".0")
        await lost(queue, message, begun=True, lived_on=True)
        assert await suspicion(queue, message) == 4


async def test_what_ends_holders_while_others_end_too_is_not_held(queue: QueueStore) -> None:
    """Something else ends them, such as an operator."""
    message = await queue.admitted()
    await lost(queue, message)
    for _ in range(10):
        await lost(queue, message, begun=True)
        other = await queue.admitted(New(queue="b.example"))
        [lease] = await queue.lease("b.example", holder=f"life{next(_LIVES)}")
        await queue.expire(lease)
        await queue.reclaim()
        await queue.cancel(other + ".0")
    assert await suspicion(queue, message) == 5
    await lost(queue, message, begun=True)
    assert await queue.place(message + ".0") is Place.READY
    await lost(queue, message, begun=True)
    assert await queue.place(message + ".0") is Place.HELD


async def test_one_that_lives_on_is_not_ended_by_what_it_lost(queue: QueueStore) -> None:
    """It was cut off, or stood still."""
    message = await queue.admitted()
    for _ in range(10):
        [lease] = await queue.lease(holder="alive")
        await queue.begin(lease)
        await queue.expire(lease)
        await queue.reclaim()
    assert await suspicion(queue, message) == 5
    assert await queue.place(message + ".0") is Place.READY


async def test_what_only_waited_for_its_turn_is_never_held(queue: QueueStore) -> None:
    message = await queue.admitted()
    for _ in range(40):
        await lost(queue, message)
    stored = await queue.stored(message + ".0")
    assert stored is not None
    assert (stored.place, stored.suspicion, stored.losses) == (Place.READY, 0, 31)


async def test_what_was_sent_beside_another_is_suspected_but_not_held(queue: QueueStore) -> None:
    """Its holder had begun with another one when it ended, or with none."""
    message = await queue.admitted()
    await lost(queue, message)
    for _ in range(10):
        [lease] = await queue.lease()
        assert await queue.begin(lease) == ["begun"]
        assert await queue.begin(None) == ["none"]
        await queue.expire(lease)
        await queue.reclaim()
    assert await suspicion(queue, message) == 3
    assert await queue.place(message + ".0") is Place.READY


async def test_what_was_settled_is_no_longer_suspected(queue: QueueStore) -> None:
    message = await queue.admitted()
    await lost(queue, message)
    await lost(queue, message, begun=True)
    [lease] = await queue.lease()
    await queue.begin(lease)
    assert await queue.settle(lease, verb="later") == ["settled"]
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert (stored.suspicion, stored.losses, stored.flags) == (0, 0, Flag(0))


async def test_what_was_to_be_held_is_held(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.hold(lease.id)
    await queue.expire(lease)
    assert await queue.reclaim() == ["reclaimed", 0, 1]
    assert await queue.place(lease.id) is Place.HELD


async def test_what_was_to_be_cancelled_goes_to_its_next_holder(queue: QueueStore) -> None:
    """Also when it would be held: it would stay for days."""
    message = await queue.admitted()
    await lost(queue, message)
    for _ in range(3):
        await lost(queue, message, begun=True)
    [lease] = await queue.lease()
    await queue.begin(lease)
    await queue.cancel(lease.id)
    await queue.expire(lease)
    assert (await queue.reclaim())[:3] == ["reclaimed", 1, 0]
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert stored.place is Place.READY
    assert Flag.CANCEL in stored.flags
    assert Flag.DOUBT in stored.flags
    assert await queue.cancel(lease.id) == ["cancelled"]


async def test_what_was_to_go_at_another_time_waits_until_then(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    due = await queue.now() + 90 * MINUTE
    await queue.reschedule(lease.id, due_ms=due)
    await queue.expire(lease)
    assert await queue.reclaim() == ["reclaimed", 1, 0]
    assert await queue.scores(queue.keys.later) == {lease.id: due}


async def test_a_held_tenants_delivery_comes_back_without_a_ring(queue: QueueStore) -> None:
    await queue.admitted(New(lane="nx"))
    [lease] = await queue.lease()
    await queue.pause("t:x")
    await queue.expire(lease)
    assert await queue.reclaim() == ["reclaimed", 1, 0]
    assert await queue.scores(queue.keys.wake) == {}


async def test_what_a_newer_version_wrote_is_left_to_a_newer_process(queue: QueueStore) -> None:
    for _ in range(2):
        await queue.admitted()
    newer, mine = await queue.lease()
    value = await queue.newer(newer.id)
    await queue.expire(newer, mine)
    assert (await queue.reclaim())[:2] == ["reclaimed", 1]
    assert newer.id in await queue.scores(queue.keys.leased)
    await queue.client.read("HSET", queue.keys.deliveries, newer.id, b"\x01" + value[1:])


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    await queue.admitted()
    await queue.expire(*await queue.lease())
    async with queue.full():
        assert (await queue.reclaim())[:2] == ["reclaimed", 1]


async def test_missing_arguments_are_refused_untouched(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("reclaim", queue.fixed("reclaim"), LEASE_MS)
    assert await queue.dump() == {}
