"""Status: all that is known of a message, while it is on its way and afterwards."""

from __future__ import annotations

import pytest

from relay.errors import NoSuchMessage
from relay.mail.delivery import Delivery
from relay.mail.envelope import Recipient
from relay.store.client import StoreClient
from relay.store.codec import Place, encode_delivery
from relay.store.status import Status
from tests.support.queue import MINUTE, New, QueueStore, attempt


@pytest.fixture
def status(client: StoreClient) -> Status:
    return Status(client, 1)


async def test_a_message_on_its_way(queue: QueueStore, status: Status) -> None:
    due = await queue.now() + MINUTE
    message = await queue.admitted(New(), New(queue="b.example", due_ms=due))
    [lease] = await queue.lease()
    found = await status.message(message)
    assert found.record.sender == "s@s.example"
    one, two = found.open
    assert (one.stored.place, one.stored.holder) == (Place.LEASED, lease.holder)
    assert (two.number, two.stored.place, two.stored.ms) == (1, Place.LATER, due)
    assert [to.address for to in two.delivery.recipients] == ["u@a.example"]
    assert (found.attempts, found.outcomes, found.possible_doubles) == ((), (), 0)


async def test_a_deferred_one_keeps_its_last_attempts_in_order(
    queue: QueueStore, status: Status
) -> None:
    message = await queue.admitted()
    for number in range(1, 11):
        [lease] = await queue.lease()
        outcome = attempt(number, fate="deferred")
        await queue.settle(lease, verb="later", outcome=outcome, slot=str(lease.fence % 8))
        await queue.reschedule(lease.id)
    found = await status.message(message)
    assert [tried.attempt.number for tried in found.attempts] == list(range(3, 11))
    assert found.open[0].stored.attempts == 10


async def test_a_closed_one_has_its_outcomes(queue: QueueStore, status: Status) -> None:
    message = await queue.admitted(New(), New(queue="b.example"), New(queue="c.example"))
    [lease] = await queue.lease("a.example")
    await queue.settle(lease)
    await queue.cancel(message + ".1")
    rest = encode_delivery(Delivery(1, 1, 0, 9, "s@s.example", (Recipient("v@c.example"),)))
    [lease] = await queue.lease("c.example")
    await queue.settle(lease, verb="later", slot="", body=rest, event="D")
    found = await status.message(message)
    fates = [(over.number, over.ended.fate) for over in found.outcomes]
    assert fates == [(0, "attempted"), (1, "cancelled"), (2, "attempted")]
    assert [to.address for to in found.open[0].delivery.recipients] == ["v@c.example"]


async def test_a_parked_or_held_queue_shows(queue: QueueStore, status: Status) -> None:
    message = await queue.admitted(New(), New(queue="b.example", lane="nx"))
    await queue.park("a.example", wait_ms=9 * MINUTE, why="421 closed")
    await queue.pause("t:x")
    one, two = (await status.message(message)).open
    assert one.wake_ms > await queue.now() + 8 * MINUTE
    assert one.reason.endswith(b" 421 closed")
    assert (one.paused, two.paused, two.reason) == (False, True, b"")


async def test_possible_doubles_count_before_and_after_the_settle(
    queue: QueueStore, status: Status
) -> None:
    message = await queue.admitted()
    for _ in range(2):
        await queue.expire(*await queue.lease())
        await queue.reclaim()
    assert (await status.message(message)).possible_doubles == 2
    await queue.settle(*await queue.lease())
    assert (await status.message(message)).possible_doubles == 2


async def test_many_deliveries_are_read_in_parts(queue: QueueStore, status: Status) -> None:
    message = queue.new_id()
    for first in range(0, 450, 50):
        part = "last" if first == 400 else "staged"
        await queue.admit(
            *(New(queue=f"{n}.example") for n in range(50)),
            message=message, total=450, first=first, part=part,
        )  # fmt: skip
    found = await status.message(message)
    assert [each.number for each in found.open] == list(range(450))


async def test_what_is_not_accepted_is_not_there(queue: QueueStore, status: Status) -> None:
    message = queue.new_id()
    with pytest.raises(NoSuchMessage):
        await status.message(message)
    await queue.admit(New(), message=message, total=2, part="staged")
    with pytest.raises(NoSuchMessage):
        await status.message(message)
