"""settle: what attempts did is recorded once, by who holds the lease."""

from __future__ import annotations

from typing import Any

import pytest

from relay.mail.delivery import Delivery
from relay.mail.envelope import Recipient
from relay.store.codec import (
    Flag,
    Place,
    decode_attempt,
    decode_outcome,
    decode_stored,
    encode_delivery,
)
from relay.store.wire import ReplyError
from tests.support.queue import LONGEST_MS, MINUTE, RETENTION_MS, New, QueueStore, attempt
from tests.support.stored import Held

REST = encode_delivery(Delivery(1, 1, 0, 100, "s@s.example", (Recipient("v@a.example"),)))


async def leased(queue: QueueStore, *deliveries: New, **options: Any) -> Held:
    """A message's first delivery, leased."""
    await queue.admitted(*deliveries, **options)
    [lease, *_] = await queue.lease()
    return lease


async def test_a_delivered_message_closes_and_its_content_goes(queue: QueueStore) -> None:
    lease = await leased(queue)
    assert await queue.settle(lease) == ["settled"]
    assert await queue.stored(lease.id) is None
    assert not await queue.has_content(lease.message)
    assert 0 < await queue.ttl(lease.message) <= RETENTION_MS
    ended = decode_outcome(b"f0.1", (await queue.record(lease.message))["f0.1"])
    assert ended.attempt is not None
    assert ended.attempt.results[0].fate == "delivered"
    assert (await queue.events())[-1] == (lease.id, "d1")


async def test_content_stays_until_the_last_delivery_is_final(queue: QueueStore) -> None:
    message = await queue.admitted(New(), New(queue="b.example"))
    [one] = await queue.lease("a.example")
    [two] = await queue.lease("b.example")
    await queue.settle(one)
    assert await queue.has_content(message)
    assert await queue.ttl(message) == -1
    await queue.settle(two)
    assert not await queue.has_content(message)


async def test_chunks_go_with_the_message(queue: QueueStore) -> None:
    message = queue.new_id()
    await queue.store_chunks(message, 3)
    lease = await leased(queue, message=message, chunks=3)
    await queue.settle(lease)
    assert await queue.client.read("EXISTS", *queue.contents(message)) == 0


async def test_content_stays_until_close_where_a_dsn_is_due(queue: QueueStore) -> None:
    lease = await leased(queue)
    assert await queue.settle(lease, event="B", outcome=attempt(fate="bounced")) == ["settled"]
    assert await queue.settle(lease, event="B", outcome=attempt(fate="bounced")) == ["done"]
    assert await queue.has_content(lease.message)
    assert await queue.ttl(lease.message) == -1
    assert (await queue.record(lease.message))["k"] == b"1"
    assert (await queue.events())[-1] == (lease.id, "B1")
    assert await queue.close((lease.id, lease.fence)) == ["closed"]
    assert not await queue.has_content(lease.message)


async def test_a_deferral_waits_and_is_noted(queue: QueueStore) -> None:
    lease = await leased(queue)
    now = await queue.now()
    assert await queue.settle(lease, verb="later", wait_ms=MINUTE, slot="3") == ["settled"]
    due = (await queue.scores(queue.keys.later))[lease.id]
    assert now + MINUTE <= due <= await queue.now() + MINUTE
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert (stored.place, stored.attempts, stored.ms) == (Place.LATER, 1, due)
    noted = decode_attempt((await queue.record(lease.message))["a0.3"])
    assert noted.results[0].fate == "deferred"
    assert (await queue.events())[-1] == (lease.id, "f1")


async def test_where_some_recipients_are_final_the_others_wait(queue: QueueStore) -> None:
    lease = await leased(queue)
    assert await queue.settle(lease, verb="later", body=REST, slot="", event="D") == ["settled"]
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert [to.address for to in stored.delivery.recipients] == ["v@a.example"]
    record = await queue.record(lease.message)
    assert ("f0.1" in record, record["o"], record["k"]) == (True, b"1", b"1")
    assert await queue.close((lease.id, 1)) == ["closed"]
    assert await queue.has_content(lease.message)


@pytest.mark.parametrize("verb", ["final", "later", "hold"])
async def test_said_twice_it_is_done(queue: QueueStore, verb: str) -> None:
    lease = await leased(queue)
    assert await queue.settle(lease, verb=verb) == ["settled"]
    before = await queue.dump()
    assert await queue.settle(lease, verb=verb) == ["done"]
    assert await queue.settle(lease, lease, verb=verb) == ["done", "done"]
    assert await queue.dump() == before


async def test_twice_in_one_call_it_is_settled_once(queue: QueueStore) -> None:
    lease = await leased(queue)
    assert await queue.settle(lease, lease) == ["settled", "done"]


async def test_a_stale_holder_changes_nothing(queue: QueueStore) -> None:
    """Fails where the holder or the fence is compared no longer (each was tried)."""
    stale = await leased(queue)
    await queue.expire(stale)
    await queue.reclaim()
    before = await queue.dump()
    assert await queue.settle(stale) == ["lost"]
    assert await queue.dump() == before

    [fresh] = await queue.lease(holder="w2")
    before = await queue.dump()
    assert await queue.settle(stale) == ["lost"]
    assert await queue.settle(Held(fresh.id, fresh.fence, "w1")) == ["lost"]
    assert await queue.settle(Held(fresh.id, stale.fence, "w2")) == ["lost"]
    assert await queue.dump() == before
    assert await queue.settle(fresh) == ["settled"]
    assert await queue.settle(stale) == ["lost"]
    assert await queue.settle(Held(fresh.id, fresh.fence, "w1")) == ["lost"]


async def test_an_expired_lease_that_was_not_reclaimed_still_settles(queue: QueueStore) -> None:
    lease = await leased(queue)
    await queue.expire(lease)
    assert await queue.settle(lease) == ["settled"]


async def test_what_was_to_be_cancelled_ends_instead_of_waiting(queue: QueueStore) -> None:
    lease = await leased(queue)
    assert await queue.cancel(lease.id) == ["pending"]
    assert await queue.settle(lease, verb="later") == ["cancelled"]
    assert await queue.settle(lease, verb="later") == ["done"]
    assert (await queue.events())[-1] == (lease.id, "c2")
    ended = decode_outcome(b"f0.2", (await queue.record(lease.message))["f0.2"])
    assert ended.fate == "cancelled"
    assert await queue.cancel(lease.id) == ["cancelled"]
    assert await queue.settle(Held(lease.id, 1, "w2"), verb="later") == ["lost"]


async def test_what_was_given_back_to_be_cancelled_ends_without_an_attempt(
    queue: QueueStore,
) -> None:
    lease = await leased(queue)
    await queue.cancel(lease.id)
    await queue.release(lease)
    [again] = await queue.lease()
    assert await queue.settle(again, verb="later", outcome=b"") == ["cancelled"]
    record = await queue.record(lease.message)
    assert decode_stored(record["f0.3"][14:]).attempts == 0
    assert not [name for name in record if name.startswith("a")]


async def test_what_was_delivered_meanwhile_cannot_be_cancelled(queue: QueueStore) -> None:
    lease = await leased(queue)
    await queue.cancel(lease.id)
    assert await queue.settle(lease) == ["settled"]
    assert await queue.cancel(lease.id) == ["final"]


async def test_what_was_to_be_held_is_held_instead_of_waiting(queue: QueueStore) -> None:
    lease = await leased(queue)
    assert await queue.hold(lease.id) == ["pending"]
    assert await queue.settle(lease, verb="later") == ["held"]
    assert await queue.settle(lease, verb="later") == ["done"]
    assert await queue.place(lease.id) is Place.HELD


async def test_what_was_to_go_at_another_time_waits_until_then(queue: QueueStore) -> None:
    lease = await leased(queue)
    due = await queue.now() + 90 * MINUTE
    assert await queue.reschedule(lease.id, due_ms=due) == [["pending"], []]
    await queue.settle(lease, verb="later", wait_ms=MINUTE)
    assert await queue.scores(queue.keys.later) == {lease.id: due}
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert Flag.MOVED not in stored.flags


async def test_the_last_attempt_falls_on_the_expiry(queue: QueueStore) -> None:
    expires = await queue.now() + MINUTE
    lease = await leased(queue, New(expires_ms=expires))
    await queue.settle(lease, verb="later", wait_ms=60 * MINUTE)
    assert await queue.scores(queue.keys.later) == {lease.id: expires}


@pytest.mark.parametrize(("flags", "event"), [(Flag(0), "x2"), (Flag.REPORT, "X2")])
async def test_a_deferral_after_the_expiry_is_the_end(
    queue: QueueStore, flags: Flag, event: str
) -> None:
    lease = await leased(queue, New(flags=flags))
    await queue.set_score(queue.keys.age, lease.id, await queue.now() - LONGEST_MS)
    assert await queue.settle(lease, verb="later") == ["expired"]
    assert await queue.settle(lease, verb="later") == ["done"]
    ended = decode_outcome(b"f0.2", (await queue.record(lease.message))["f0.2"])
    assert ended.fate == "expired"
    assert ended.delivery is not None
    assert (await queue.events())[-1] == (lease.id, event)
    assert await queue.has_content(lease.message) is bool(flags)
    await queue.close((lease.id, 2))


async def test_content_that_is_missing_is_held_and_told(queue: QueueStore) -> None:
    lease = await leased(queue)
    assert await queue.settle(lease, verb="hold", slot="0", event="m") == ["settled"]
    assert await queue.place(lease.id) is Place.HELD
    assert (await queue.events())[-1] == (lease.id, "h1")


async def test_a_settled_attempt_takes_the_mark_alone_away(queue: QueueStore) -> None:
    lease = await leased(queue)
    await queue.expire(lease)
    await queue.reclaim()
    [again] = await queue.lease()
    await queue.settle(again, verb="later")
    stored = await queue.stored(lease.id)
    assert stored is not None
    assert stored.flags == Flag(0)
    assert (await queue.record(lease.message))["p"] == b"1"


async def test_each_lease_without_a_settle_is_a_possible_double_in_the_record(
    queue: QueueStore,
) -> None:
    lease = await leased(queue)
    for _ in range(2):
        await queue.expire(lease)
        await queue.reclaim()
        [lease] = await queue.lease()
    await queue.settle(lease, verb="later", event="p")
    assert (await queue.record(lease.message))["p"] == b"3"
    await queue.cancel(lease.id)
    assert (await queue.record(lease.message))["p"] == b"3"


async def test_what_a_newer_version_wrote_is_left_alone_and_the_others_settled(
    queue: QueueStore,
) -> None:
    for _ in range(3):
        await queue.admitted()
    one, newer, three = await queue.lease()
    value = await queue.newer(newer.id)
    assert await queue.settle(one, newer, three) == ["settled", "lost", "settled"]
    assert await queue.client.read("HGET", queue.keys.deliveries, newer.id) == value
    await queue.client.read("HSET", queue.keys.deliveries, newer.id, b"\x01" + value[1:])


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    for _ in range(3):
        await queue.admitted()
    one, two, three = await queue.lease()
    async with queue.full():
        assert await queue.settle(one) == ["settled"]
        assert await queue.settle(two, verb="later") == ["settled"]
        assert await queue.settle(three, verb="hold") == ["settled"]


@pytest.mark.parametrize("options", [{"verb": "lost"}, {"wait_ms": "soon"}])
async def test_bad_arguments_are_refused_untouched(
    queue: QueueStore, options: dict[str, Any]
) -> None:
    lease = await leased(queue)
    before = await queue.dump()
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.settle(lease, **{"verb": "later", **options})
    assert await queue.dump() == before


async def test_keys_that_are_not_declared_are_refused_untouched(queue: QueueStore) -> None:
    lease = await leased(queue)
    before = await queue.dump()
    args: list[str | bytes | int] = [lease.id, 1, "final", 0, "", "", attempt(), "d", 1]
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("settle", queue.fixed("settle"), "w1", 30_000, LONGEST_MS, 1, *args)
    assert await queue.dump() == before
