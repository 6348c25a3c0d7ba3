"""The outbox: events in order, a cursor that only goes forward, one projector at a time."""

from __future__ import annotations

from typing import Any

import pytest

from relay.mail.delivery import Result
from relay.store.client import StoreClient
from relay.store.codec import Flag
from relay.store.outbox import EventEntry, Outbox, OutboxOptions
from relay.store.wire import ReplyError
from tests.support.queue import LONGEST_MS, New, QueueStore, attempt
from tests.support.stored import Held


@pytest.fixture
def outbox(client: StoreClient) -> Outbox:
    return Outbox(client, 0, 1)


async def leased(queue: QueueStore, *deliveries: New, **options: Any) -> Held:
    await queue.admitted(*deliveries, **options)
    [lease, *_] = await queue.lease()
    return lease


async def entry(outbox: Outbox) -> EventEntry:
    """The last event."""
    return (await outbox.read("other", 1000))[-1]


async def test_events_come_in_order_from_the_cursor_on(queue: QueueStore, outbox: Outbox) -> None:
    leases = [await leased(queue) for _ in range(3)]
    for lease in leases:
        await queue.settle(lease)
    entries = await outbox.read("dsn", 100)
    assert [(e.delivery_id, e.kind, e.fence) for e in entries] == [
        *((lease.message, "a", 0) for lease in leases),
        *((lease.id, "d", 1) for lease in leases),
    ]
    await outbox.advance("dsn", entries[3].stream_id)
    assert [e.delivery_id for e in await outbox.read("dsn", 100)] == [x.id for x in leases[1:]]


async def test_no_stream_entry_is_read_in_part(queue: QueueStore, outbox: Outbox) -> None:
    await queue.admitted(*(New() for _ in range(10)))
    await queue.settle(*await queue.lease())
    entries = await outbox.read("dsn", 4)
    assert len(entries) == 11
    assert len({e.stream_id for e in entries}) == 2


async def test_many_events_are_read_in_pages(queue: QueueStore, outbox: Outbox) -> None:
    for _ in range(120):
        await queue.admitted()
    assert len(await outbox.read("dsn", 1000)) == 120
    assert len(await outbox.read("dsn", 70)) == 70


async def test_a_cursor_only_goes_forward(queue: QueueStore, outbox: Outbox) -> None:
    assert await outbox.cursor("dsn") == "0-0"
    for here, stands in (("5-1", "5-1"), ("4-9", "5-1"), ("5-0", "5-1"), ("5-2", "5-2")):
        await outbox.advance("dsn", here)
        assert await outbox.cursor("dsn") == stands
    await outbox.advance("dsn", "10-0")
    assert await outbox.cursor("dsn") == "10-0"
    assert await outbox.cursor("hooks") == "0-0"
    async with queue.full():
        await outbox.advance("dsn", "11-0")


async def test_what_is_no_event_id_is_refused(outbox: Outbox) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await outbox.advance("dsn", "$")
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await outbox.advance("", "1-1")


async def test_one_holder_has_the_role_until_it_gives_it_up(
    queue: QueueStore, outbox: Outbox
) -> None:
    assert await outbox.hold_role("dsn", "one", 30_000)
    assert await outbox.hold_role("dsn", "one", 30_000), "said twice it is the same"
    assert not await outbox.hold_role("dsn", "two", 30_000)
    assert await outbox.hold_role("hooks", "two", 30_000)
    await outbox.hold_role("dsn", "two", 0)
    assert not await outbox.hold_role("dsn", "two", 30_000), "it was not two's to give up"
    await outbox.hold_role("dsn", "one", 0)
    async with queue.full():
        assert await outbox.hold_role("dsn", "two", 30_000)


async def test_a_dead_holders_role_ends_by_itself(queue: QueueStore, outbox: Outbox) -> None:
    await outbox.hold_role("dsn", "one", 30_000)
    left = await queue.client.read("PTTL", queue.keys.role("dsn"))
    assert 20_000 < left <= 30_000
    await queue.client.read("DEL", queue.keys.role("dsn"))
    assert await outbox.hold_role("dsn", "two", 30_000)


async def test_a_bounce_is_found_with_what_its_sender_asked_for(
    queue: QueueStore, outbox: Outbox
) -> None:
    lease = await leased(queue, content=b"Subject: hello\r\n\r\nworld\r\n")
    await queue.settle(lease, event="B", outcome=attempt(fate="bounced"))
    event = await entry(outbox)
    assert event.report_due
    [found] = await outbox.outcomes([event], 14)
    assert found is not None
    assert (found.delivery_id, found.fence, found.host) == (lease.id, 1, "mx.a.example")
    assert [to.address for to in found.recipients] == ["u@a.example"]
    assert found.results == (Result("u@a.example", "bounced", 550, "5.0.0", "so"),)
    assert found.record.sender == "s@s.example"
    assert found.content == b"Subject: hello"
    await outbox.close([found])
    await outbox.close([found])
    assert await outbox.outcomes([event], 14) == [None]
    assert not await queue.has_content(lease.message)


async def test_content_in_chunks_is_read_as_far_as_asked(queue: QueueStore, outbox: Outbox) -> None:
    message = queue.new_id()
    await queue.store_chunks(message, 3)
    lease = await leased(queue, message=message, chunks=3)
    await queue.settle(lease, event="B", outcome=attempt(fate="bounced"))
    event = await entry(outbox)
    for octets, length in ((5, 5), (10, 10), (15, 15), (99, 30)):
        [found] = await outbox.outcomes([event], octets)
        assert found is not None
        assert len(found.content) == length
    assert found is not None
    await outbox.close([found])
    assert await queue.client.read("EXISTS", *queue.contents(message)) == 0


async def test_an_expired_delivery_has_the_last_reply_of_its_attempts(
    queue: QueueStore, outbox: Outbox
) -> None:
    lease = await leased(queue, New(flags=Flag.REPORT))
    await queue.set_score(queue.keys.age, lease.id, await queue.now() - LONGEST_MS)
    outcome = attempt(fate="deferred")
    assert await queue.settle(lease, verb="later", outcome=outcome) == ["expired"]
    [found] = await outbox.outcomes([await entry(outbox)], 10)
    assert found is not None
    assert found.results == (Result("u@a.example", "expired", 451, "4.0.0", "so"),)
    assert found.host == "mx.a.example"
    await outbox.close([found])


@pytest.mark.parametrize(
    ("why", "result"),
    [
        ("421 4.3.2 closed", Result("u@a.example", "expired", 421, "4.3.2", "closed")),
        ("no route to host", Result("u@a.example", "expired", 0, "", "no route to host")),
        (None, Result("u@a.example", "expired", 0, "", "")),
    ],
)
async def test_one_that_was_never_attempted_has_the_reply_that_parked_its_queue(
    queue: QueueStore, outbox: Outbox, why: str | None, result: Result
) -> None:
    message = await queue.admitted(New(flags=Flag.REPORT))
    if why:
        await queue.park("a.example", why=why)
    await queue.set_score(queue.keys.age, message + ".0", await queue.now() - 2 * LONGEST_MS)
    await queue.promote_all()
    [found] = await outbox.outcomes([await entry(outbox)], 10)
    assert found is not None
    assert found.results == (result,)
    await outbox.close([found])


async def test_what_no_attempt_ended_is_found_with_whom_it_was_for(
    client: StoreClient, queue: QueueStore, outbox: Outbox
) -> None:
    now = await queue.now()
    cancelled = await queue.admitted(New(recipients=("u@a.example", "v@a.example")))
    expired = await queue.admitted(New(due_ms=now + 60_000))
    forgotten = await queue.admitted()
    await queue.cancel(f"{cancelled}.0", f"{forgotten}.0")
    await queue.set_score(queue.keys.age, f"{expired}.0", now - LONGEST_MS - 120_000)
    await queue.promote_all()
    await client.read("DEL", queue.keys.record(forgotten))
    entries = [entry for entry in await outbox.read("dsn", 100) if entry.given_up]
    assert [(entry.delivery_id[:20], entry.kind) for entry in entries] == [
        (cancelled, "c"),
        (forgotten, "c"),
        (expired, "x"),
    ]
    first, second, third = await outbox.given_up(entries)
    assert first is not None
    assert third is not None
    assert (first.fate, second, third.fate) == ("cancelled", None, "expired")
    assert first.delivery is not None
    assert [one.address for one in first.delivery.recipients] == ["u@a.example", "v@a.example"]


async def test_an_event_about_a_message_that_is_gone_is_nothing(outbox: Outbox) -> None:
    gone = EventEntry("1-1", "0" * 20 + ".0", "B", 1)
    assert await outbox.outcomes([gone], 10) == [None]


async def test_trim_forgets_what_all_have_applied(client: StoreClient) -> None:
    outbox, queue = Outbox(client, 0, 1, OutboxOptions(keep_ms=0)), QueueStore(client)
    for _ in range(250):
        await queue.admitted()
    [*_, last] = await outbox.read("dsn", 1000)
    await outbox.advance("dsn", last.stream_id)
    assert await outbox.trim(["dsn"]) == 0
    assert await outbox.trim(["dsn"]) == 200
    assert await outbox.trim(["dsn", "hooks"]) == 0
