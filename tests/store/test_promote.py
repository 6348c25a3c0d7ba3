"""promote: what is due becomes ready, and what is too old comes to its end."""

from __future__ import annotations

import pytest

from relay.store.codec import Flag, Place, decode_outcome
from relay.store.wire import ReplyError
from tests.support.queue import AHEAD_MS, LONGEST_MS, MINUTE, New, QueueStore


async def waiting(queue: QueueStore, new: New | None = None) -> str:
    """A delivery in later, due in a minute."""
    new = new or New()
    message = await queue.admitted(
        New(queue=new.queue, lane=new.lane, flags=new.flags, due_ms=await queue.now() + MINUTE)
    )
    return message + ".0"


async def due(queue: QueueStore, *deliveries: str) -> None:
    """As if the time of these had come."""
    for delivery in deliveries:
        await queue.set_score(queue.keys.later, delivery, await queue.now() - 1)


async def old(queue: QueueStore, *deliveries: str) -> None:
    """As if these were accepted longer ago than any delivery may be kept."""
    for delivery in deliveries:
        await queue.set_score(queue.keys.age, delivery, await queue.now() - LONGEST_MS - 2 * MINUTE)


async def test_what_is_due_becomes_ready_and_its_queue_is_rung(queue: QueueStore) -> None:
    one, two = await waiting(queue), await waiting(queue)
    await due(queue, one)
    count, next_ms, rung, named = await queue.promote()
    assert (count, rung, named) == (1, ["a.example"], [])
    assert next_ms == (await queue.scores(queue.keys.later))[two]
    assert [lease.id for lease in await queue.lease()] == [one]


async def test_said_twice_there_is_nothing_left(queue: QueueStore) -> None:
    await due(queue, await waiting(queue))
    assert (await queue.promote())[0] == 1
    before = await queue.dump()
    assert await queue.promote() == [0, 0, [], []]
    assert await queue.dump() == before


async def test_it_is_bounded(queue: QueueStore) -> None:
    await due(queue, *[await waiting(queue) for _ in range(5)])
    assert [(await queue.promote(limit=2))[0] for _ in range(4)] == [2, 2, 1, 0]


async def test_a_retry_goes_behind_what_became_ready_before_it(queue: QueueStore) -> None:
    retry = await waiting(queue)
    first = await queue.admitted()
    await due(queue, retry)
    await queue.tick()
    await queue.promote()
    assert [lease.id for lease in await queue.lease()] == [first + ".0", retry]


@pytest.mark.parametrize("place", [Place.LATER, Place.READY, Place.HELD])
@pytest.mark.parametrize(("flags", "event"), [(Flag(0), "x1"), (Flag.REPORT, "X1")])
async def test_what_is_too_old_expires_wherever_it_waits(
    queue: QueueStore, place: Place, flags: Flag, event: str
) -> None:
    delivery = await waiting(queue, New(flags=flags))
    if place is Place.READY:
        await due(queue, delivery)
        await queue.promote()
    if place is Place.HELD:
        await queue.hold(delivery)
    await old(queue, delivery)
    assert await queue.place(delivery) is place

    assert (await queue.promote())[3] == [delivery]
    assert (await queue.promote(delivery))[0] == 1
    assert await queue.stored(delivery) is None
    assert (await queue.events())[-1] == (delivery, event)
    ended = decode_outcome(b"f0.1", (await queue.record(delivery[:20]))["f0.1"])
    assert ended.fate == "expired"
    assert await queue.has_content(delivery[:20]) is bool(flags)
    assert await queue.promote(delivery) == [0, 0, [], []]
    await queue.close((delivery, 1))


async def test_what_is_leased_is_not_expired(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await old(queue, lease.id)
    assert (await queue.promote())[3] == []
    await queue.promote(lease.id)
    assert await queue.settle(lease) == ["settled"]


async def test_a_time_of_its_own_comes_before_the_longest_age(queue: QueueStore) -> None:
    now = await queue.now()
    message = await queue.admitted(New(expires_ms=now + MINUTE))
    delivery = message + ".0"
    assert await queue.promote_all() == [0, 0, [], []]
    await queue.set_score(queue.keys.expiry, delivery, now - 2 * MINUTE)
    assert (await queue.promote_all())[0] == 1
    assert (await queue.events())[-1] == (delivery, "x1")


async def test_the_attempt_at_the_expiry_comes_before_promote(queue: QueueStore) -> None:
    message = await queue.admitted(New(expires_ms=await queue.now() + 1))
    await queue.set_score(queue.keys.expiry, message + ".0", await queue.now() - MINUTE // 2)
    assert await queue.promote_all() == [0, 0, [], []]


async def test_old_mail_with_a_later_time_of_its_own_keeps_no_other_from_expiring(
    queue: QueueStore,
) -> None:
    lasting = []
    for _ in range(4):
        message = await queue.admitted(New(expires_ms=await queue.now() + LONGEST_MS))
        lasting.append(message + ".0")
    ends = (await queue.admitted()) + ".0"
    await old(queue, *lasting)
    await queue.set_score(queue.keys.age, ends, await queue.now() - LONGEST_MS - 90_000)
    named: list[str] = []
    for _ in range(4):
        named += (await queue.promote(limit=2))[3]
    assert ends in named
    assert not set(lasting) & set(named)


async def test_a_wait_longer_than_any_can_be_is_from_before_a_jump_of_the_clock(
    queue: QueueStore,
) -> None:
    delivery = await waiting(queue)
    await queue.set_score(queue.keys.later, delivery, await queue.now() + AHEAD_MS * 2)
    await queue.promote()
    assert (await queue.scores(queue.keys.later))[delivery] <= await queue.now() + AHEAD_MS


async def test_what_a_newer_version_wrote_is_left_to_a_newer_process(queue: QueueStore) -> None:
    newer, mine = await waiting(queue), await waiting(queue)
    value = await queue.newer(newer)
    await due(queue, newer, mine)
    await old(queue, newer)
    assert (await queue.promote())[0] == 1
    assert await queue.promote(newer) == [0, pytest.approx(await queue.now(), abs=9000), [], []]
    assert await queue.client.read("HGET", queue.keys.deliveries, newer) == value
    await queue.client.read("HSET", queue.keys.deliveries, newer, b"\x01" + value[1:])


async def test_a_held_queue_or_tenant_is_not_rung(queue: QueueStore) -> None:
    deliveries = [
        await waiting(queue),
        await waiting(queue, New(queue="b.example", lane="nx")),
    ]
    await queue.pause("q:a.example", "t:x")
    await due(queue, *deliveries)
    assert (await queue.promote())[:3] == [2, 0, []]
    assert await queue.scores(queue.keys.wake) == {}


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    one, two = await waiting(queue), await waiting(queue)
    await due(queue, one)
    await old(queue, two)
    async with queue.full():
        assert (await queue.promote())[0] == 1
        assert (await queue.promote(two))[0] == 1


async def test_missing_arguments_are_refused_untouched(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("promote", queue.fixed("promote"), 50)
    assert await queue.dump() == {}


@pytest.mark.parametrize("place", [Place.LATER, Place.READY, Place.LEASED, Place.HELD])
async def test_of_what_is_late_its_sender_is_to_hear_once_wherever_it_is(
    queue: QueueStore, place: Place
) -> None:
    now = await queue.now()
    due_ms = now + MINUTE if place is Place.LATER else 0
    delivery = await queue.admitted(New(due_ms=due_ms, late_ms=now + MINUTE)) + ".0"
    if place is Place.LEASED:
        await queue.lease()
    if place is Place.HELD:
        await queue.hold(delivery)
    assert (await queue.promote())[3] == []
    await queue.set_score(queue.keys.late, delivery, now - 1)

    assert (await queue.promote())[3] == [delivery]
    assert (await queue.promote(delivery))[0] == 1
    assert await queue.place(delivery) is place
    record = await queue.record(delivery[:20])
    assert {name for name in record if name.startswith("k")} == {"k", "k0.0"}
    assert (await queue.events())[-1] == (delivery, "L0")
    before = await queue.dump()
    assert await queue.promote(delivery) == await queue.promote()
    assert await queue.dump() == before


async def test_an_outcome_after_that_has_a_claim_of_its_own(queue: QueueStore) -> None:
    now = await queue.now()
    delivery = await queue.admitted(New(flags=Flag.REPORT, late_ms=now + MINUTE)) + ".0"
    [lease] = await queue.lease()
    await queue.set_score(queue.keys.late, delivery, now - 1)
    await queue.promote(delivery)
    await queue.settle(lease, event="B")
    assert (await queue.record(delivery[:20]))["k"] == b"2"
    assert await queue.close((delivery, 0)) == ["closed"]
    assert await queue.client.read("EXISTS", *queue.contents(delivery[:20])) == 1
    assert await queue.close((delivery, 1)) == ["closed"]
    assert await queue.client.read("EXISTS", *queue.contents(delivery[:20])) == 0


async def test_what_is_over_when_it_would_be_late_is_forgotten(queue: QueueStore) -> None:
    now = await queue.now()
    done, old_one, staged = queue.new_id(), queue.new_id(), queue.new_id()
    await queue.admitted(New(late_ms=now + MINUTE), message=done)
    [lease] = await queue.lease()
    await queue.settle(lease)
    await queue.admitted(New(queue="b.example", late_ms=now + MINUTE), message=old_one)
    await queue.admit(
        New(queue="c.example", late_ms=now + MINUTE), message=staged, total=2, part="staged"
    )
    await old(queue, old_one + ".0")
    for one in (done, old_one, staged):
        await queue.set_score(queue.keys.late, one + ".0", now - 1)
    await queue.promote_all()
    assert [event for _, event in await queue.events()][-1] == "x1"
    assert list(await queue.scores(queue.keys.late)) == [staged + ".0"]
    # What is never accepted goes with its place in `later`.
    await queue.set_score(queue.keys.later, staged + ".0", now - 1)
    await queue.promote_all()
    await queue.promote_all()
    assert not await queue.scores(queue.keys.late)
