"""What operators see of a real store, in each state that a message goes through."""

from __future__ import annotations

import pytest

from relay.console.status import StoreConsole
from relay.console.views import MessageView
from relay.errors import NewerRecord, NoSuchMessage
from relay.mail.ids import message_id
from tests.support.queue import MINUTE, New, QueueStore, attempt


def states(view: MessageView) -> dict[str, str]:
    return {recipient.address: recipient.state.value for recipient in view.recipients}


async def test_each_recipient_has_its_own_state(queue: QueueStore, console: StoreConsole) -> None:
    domains = ("a", "b", "c", "d", "e", "f", "g")
    message = await queue.admitted(
        *(New(queue=f"{name}.example", recipients=(f"u@{name}.example",)) for name in domains)
    )

    async def settle(name: str, fate: str, verb: str, slot: str = "") -> None:
        [lease] = await queue.lease(f"{name}.example")
        outcome = attempt(fate=fate, recipient=f"u@{name}.example")
        await queue.settle(lease, verb=verb, outcome=outcome, slot=slot)

    await settle("a", "delivered", "final")
    await settle("b", "bounced", "final")
    await settle("c", "deferred", "later", slot="1")
    await queue.lease("d.example")
    await queue.cancel(f"{message}.4")
    await queue.hold(f"{message}.5")
    view = await console.message(message)
    assert states(view) == {
        "u@a.example": "delivered",
        "u@b.example": "bounced",
        "u@c.example": "deferred",
        "u@d.example": "leased",
        "u@e.example": "cancelled",
        "u@f.example": "held",
        "u@g.example": "queued",
    }
    assert not view.final
    found = {recipient.address: recipient for recipient in view.recipients}
    [tried] = found["u@c.example"].attempts
    assert (tried.host, tried.address, tried.took_ms) == ("mx.a.example", "192.0.2.1", 20)
    assert found["u@c.example"].last_reply == "451 4.0.0 so"
    assert found["u@c.example"].next_attempt_at is not None
    assert found["u@a.example"].next_attempt_at is None


async def test_an_attempt_may_end_some_recipients_and_defer_others(
    queue: QueueStore, console: StoreConsole
) -> None:
    message = await queue.admitted(New(recipients=("u@a.example", "v@a.example")))
    [lease] = await queue.lease()
    await queue.settle(lease, outcome=attempt(recipient="u@a.example"), verb="later", slot="")
    assert states(await console.message(message))["u@a.example"] != "queued"


async def test_a_queue_is_counted_and_shows_its_last_reply(
    queue: QueueStore, console: StoreConsole
) -> None:
    for _ in range(3):
        await queue.admitted()
    await queue.admitted(New(queue="b.example"))
    [lease] = await queue.lease("a.example", 1)
    await queue.settle(lease, verb="later", outcome=attempt(fate="deferred"), slot="1")
    await queue.lease("b.example")
    view = await console.queues()
    assert (view.domains, view.waiting, view.leased, view.deferred, view.held) == (2, 2, 1, 1, 0)
    first, second = view.queues
    assert (first.domain, first.waiting, first.deferred) == ("a.example", 2, 1)
    assert first.last_reply == "451 4.0.0 so"
    assert first.next_attempt_at is not None
    assert (second.domain, second.leased, second.last_reply) == ("b.example", 1, "")
    assert [count.domain for count in (await console.queues(limit=1)).queues] == ["a.example"]
    [only] = (await console.queues(domain="b.example")).queues
    assert only.domain == "b.example"


async def test_a_parked_queue_says_until_when_and_why(
    queue: QueueStore, console: StoreConsole
) -> None:
    message = await queue.admitted()
    await queue.park("a.example", wait_ms=MINUTE, why="421 4.3.2 closed for the night")
    [parked] = (await console.queues()).queues
    assert parked.parked_until is not None
    assert parked.last_reply == "421 4.3.2 closed for the night"
    [recipient] = (await console.message(message)).recipients
    assert recipient.last_reply == "421 4.3.2 closed for the night"
    assert recipient.next_attempt_at == parked.parked_until == parked.next_attempt_at
    assert (recipient.state, recipient.attempts) == ("deferred", ())

    await queue.set_score(queue.keys.wake, "a.example", 1)
    await queue.ring()
    [recipient] = (await console.message(message)).recipients
    assert (recipient.state, recipient.next_attempt_at) == ("queued", None)


async def test_the_reply_to_an_attempt_outlives_that_of_a_site_which_is_up_again(
    queue: QueueStore, console: StoreConsole
) -> None:
    for _ in range(2):
        await queue.admitted()
    await queue.park("a.example", wait_ms=MINUTE, why="421 4.3.2 closed for the night")
    await queue.settle(*await queue.lease(count=1), verb="later", outcome=attempt(fate="deferred"))
    [count] = (await console.queues()).queues
    assert (count.last_reply, count.parked_until) == ("451 4.0.0 so", None)


@pytest.mark.parametrize("name", ["q:a.example", "t:"])
async def test_what_is_held_with_its_queue_or_tenant_is_held(
    queue: QueueStore, console: StoreConsole, name: str
) -> None:
    due = await queue.now() + MINUTE
    message = await queue.admitted(New(), New(due_ms=due, recipients=("v@a.example",)))
    await queue.pause(name)
    view = await console.message(message)
    assert states(view) == {"u@a.example": "held", "v@a.example": "held"}
    assert [recipient.next_attempt_at for recipient in view.recipients] == [None, None]


async def test_a_queue_that_is_held_as_a_whole_counts_as_held_in_the_sums_too(
    queue: QueueStore, console: StoreConsole
) -> None:
    await queue.admitted(New())
    await queue.pause("q:a.example")
    view = await console.queues()
    [row] = view.queues
    assert (row.waiting, row.held) == (view.waiting, view.held) == (0, 1)


async def test_cancelling_answers_for_each_domain(queue: QueueStore, console: StoreConsole) -> None:
    message = await queue.admitted(
        New(), New(queue="b.example", recipients=("u@b.example",)), New(queue="c.example")
    )
    [lease] = await queue.lease("a.example")
    await queue.settle(lease)
    await queue.lease("b.example")
    answers = await console.cancel(message)
    assert [(view.domain, view.answer) for view in answers] == [
        ("a.example", "final"),
        ("b.example", "pending"),
        ("c.example", "cancelled"),
    ]


@pytest.mark.parametrize(
    "message",
    ["nonsense", message_id(ms=1, partition=0, chance=1), message_id(ms=1, partition=9, chance=1)],
    ids=["no id at all", "never accepted", "a partition that is not there"],
)
async def test_an_unknown_message_is_told_so(console: StoreConsole, message: str) -> None:
    with pytest.raises(NoSuchMessage, match=message):
        await console.message(message)
    with pytest.raises(NoSuchMessage, match=message):
        await console.cancel(message)


async def test_what_a_newer_version_wrote_is_counted_and_told(
    queue: QueueStore, console: StoreConsole
) -> None:
    message = await queue.admitted()
    await queue.admitted()
    value = await queue.newer(f"{message}.0")
    view = await console.queues()
    assert (view.waiting, view.unreadable) == (2, 1)
    with pytest.raises(NewerRecord, match="left to a newer process"):
        await console.message(message)
    await queue.client.read("HSET", queue.keys.deliveries, f"{message}.0", b"\x01" + value[1:])
