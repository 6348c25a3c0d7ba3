"""bounce: a delivery fails with an operator's reply, at once, or as soon as its holder ends it."""

from __future__ import annotations

import pytest

from relay.mail.reply import Reply
from relay.store.codec import Flag, Place, decode_outcome
from relay.store.wire import ReplyError
from tests.support.queue import MINUTE, New, QueueStore

NO = Reply(550, "5.7.1", "no")


@pytest.mark.parametrize("place", [Place.LATER, Place.READY, Place.HELD])
async def test_what_waits_is_bounced_at_once_and_its_content_stays_for_the_dsn(
    queue: QueueStore, place: Place
) -> None:
    due = await queue.now() + MINUTE if place is Place.LATER else 0
    message = await queue.admitted(New(due_ms=due, flags=Flag.REPORT))
    delivery = message + ".0"
    if place is Place.HELD:
        await queue.hold(delivery)
    assert await queue.bounce(delivery) == ["bounced"]
    assert await queue.stored(delivery) is None
    assert (await queue.events())[-1] == (delivery, "R1")
    ended = decode_outcome(b"f0.1", (await queue.record(message))["f0.1"])
    assert (ended.fate, ended.reply, ended.attempt) == ("bounced", NO, None)
    assert ended.delivery is not None
    assert [to.address for to in ended.delivery.recipients] == ["u@a.example"]
    assert await queue.has_content(message)
    await queue.close((delivery, 1))
    assert not await queue.has_content(message)


async def test_nobody_is_told_who_does_not_want_to_hear_of_it(queue: QueueStore) -> None:
    message = await queue.admitted()
    assert await queue.bounce(message + ".0") == ["bounced"]
    assert (await queue.events())[-1] == (message + ".0", "r1")
    assert not await queue.has_content(message)


async def test_what_is_leased_is_bounced_by_its_holder(queue: QueueStore) -> None:
    message = await queue.admitted(New(flags=Flag.REPORT))
    [lease] = await queue.lease()
    assert await queue.bounce(lease.id) == ["pending"]
    assert await queue.extend(lease) == ["cancel"]
    assert await queue.settle(lease, verb="later") == ["bounced"]
    assert await queue.settle(lease, verb="later") == ["done"]
    assert (await queue.events())[-1] == (lease.id, "R2")
    ended = decode_outcome(b"f0.2", (await queue.record(message))["f0.2"])
    assert (ended.fate, ended.reply) == ("bounced", NO)
    assert await queue.bounce(lease.id) == ["bounced"]


async def test_what_its_holder_delivers_is_delivered(queue: QueueStore) -> None:
    await queue.admitted(New(flags=Flag.REPORT))
    [lease] = await queue.lease()
    await queue.bounce(lease.id)
    assert await queue.settle(lease) == ["settled"]
    assert await queue.bounce(lease.id) == ["final"]


async def test_of_cancel_and_bounce_the_last_word_counts_while_it_is_leased(
    queue: QueueStore,
) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.bounce(lease.id)
    assert await queue.cancel(lease.id) == ["pending"]
    assert await queue.settle(lease, verb="later") == ["cancelled"]
    assert await queue.bounce(lease.id) == ["final"]
    assert await queue.cancel(lease.id) == ["cancelled"]


async def test_said_twice_it_is_the_same_and_to_cancel_then_is_too_late(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    assert await queue.bounce(delivery) == ["bounced"]
    before = await queue.dump()
    assert await queue.bounce(delivery, delivery) == ["bounced", "bounced"]
    assert await queue.cancel(delivery) == ["final"]
    assert await queue.dump() == before


async def test_a_lost_lease_is_bounced_by_the_next_holder(queue: QueueStore) -> None:
    await queue.admitted(New(flags=Flag.REPORT))
    [lease] = await queue.lease()
    await queue.bounce(lease.id)
    await queue.release(lease)
    [lease] = await queue.lease(holder="w2")
    assert await queue.settle(lease, verb="later", outcome=b"") == ["bounced"]


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    delivery = await queue.admitted() + ".0"
    async with queue.full():
        assert await queue.bounce(delivery) == ["bounced"]


@pytest.mark.parametrize("reply", ["", "450 4.7.1 later", "550", "550 5.7.1 " + "x" * 250])
async def test_what_is_no_permanent_reply_is_refused_and_changes_nothing(
    queue: QueueStore, reply: str
) -> None:
    delivery = await queue.admitted() + ".0"
    before = await queue.dump()
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.bounce(delivery, reply=reply)
    assert await queue.dump() == before
