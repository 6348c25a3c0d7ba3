"""Control: what operators ask, for whole messages, queues and tenants, in all partitions."""

from __future__ import annotations

from collections import Counter

import pytest

from relay.errors import NoSuchMessage
from relay.mail.ids import delivery_id
from relay.store.client import StoreClient
from relay.store.codec import Place
from relay.store.control import Control, ControlOptions
from tests.support.queue import MINUTE, New, QueueStore


@pytest.fixture
def rung() -> list[str]:
    return []


@pytest.fixture
def control(client: StoreClient, rung: list[str]) -> Control:
    return Control(client, 1, ControlOptions(deadline_ms=10_000), ring=rung.extend)


async def large(queue: QueueStore, count: int) -> str:
    """A message of many deliveries, each to a domain of its own."""
    message = queue.new_id()
    for first in range(0, count, 50):
        part = [New(queue=f"{n}.example") for n in range(first, min(first + 50, count))]
        word = "last" if first + 50 >= count else "staged"
        await queue.admit(*part, message=message, total=count, first=first, part=word)
    while (await queue.promote_all())[0]:
        pass
    return message


async def test_each_delivery_of_a_message_is_cancelled(queue: QueueStore, control: Control) -> None:
    message = await large(queue, 120)
    [done] = await queue.lease("7.example")
    await queue.settle(done)
    await queue.lease("8.example")
    answers = await control.cancel(message)
    assert [delivery for delivery, _ in answers] == [delivery_id(message, n) for n in range(120)]
    words = Counter(word for _, word in answers)
    assert words == {"cancelled": 118, "pending": 1, "final": 1}
    assert (answers[7].word, answers[8].word) == ("final", "pending")
    assert await control.cancel(message) == answers


async def test_with_the_last_delivery_the_chunks_go(queue: QueueStore, control: Control) -> None:
    message = queue.new_id()
    await queue.store_chunks(message, 600)
    await queue.admitted(New(), New(queue="b.example"), message=message, chunks=600)
    assert [word for _, word in await control.cancel(message)] == ["cancelled", "cancelled"]
    assert await queue.client.read("EXISTS", *queue.contents(message)) == 0


async def test_a_message_is_held_and_goes_on(
    queue: QueueStore, control: Control, rung: list[str]
) -> None:
    message = await large(queue, 60)
    assert {word for _, word in await control.hold(message)} == {"held"}
    assert await queue.lease("3.example") == []
    assert {word for _, word in await control.unhold(message)} == {"unheld"}
    assert set(rung) == {f"0/{n}.example" for n in range(60)}
    assert len(await queue.lease("3.example")) == 1


async def test_a_message_is_sent_later_or_now(
    queue: QueueStore, control: Control, rung: list[str]
) -> None:
    message = await queue.admitted()
    due = await queue.now() + MINUTE
    assert await control.reschedule(message, due) == [(message + ".0", "later")]
    assert await queue.scores(queue.keys.later) == {message + ".0": due}
    assert await control.reschedule(message) == [(message + ".0", "ready")]
    assert rung == ["0/a.example"]


@pytest.mark.parametrize("ask", ["cancel", "hold", "unhold", "reschedule"])
async def test_of_a_message_that_is_not_there_nothing_can_be_asked(
    queue: QueueStore, control: Control, ask: str
) -> None:
    with pytest.raises(NoSuchMessage):
        await getattr(control, ask)(queue.new_id())


async def test_a_queue_is_held_and_goes_on(
    queue: QueueStore, control: Control, rung: list[str]
) -> None:
    await queue.admitted()
    await control.hold_queue("a.example", "its postmaster asked")
    [paused] = await control.paused()
    assert (paused.kind, paused.name, paused.why) == ("queue", "a.example", "its postmaster asked")
    assert paused.since_ms == pytest.approx(await queue.now(), abs=2000)
    assert await queue.lease() == []
    await control.unhold_queue("a.example")
    assert (await control.paused(), rung) == ([], ["0/a.example"])
    assert len(await queue.lease()) == 1


async def test_a_tenant_with_many_lanes_is_held_and_goes_on(
    queue: QueueStore, control: Control, rung: list[str]
) -> None:
    await control.hold_tenant("x")
    for number in range(120):
        await queue.admitted(New(queue=f"{number}.example", lane="nx"))
    await control.unhold_tenant("x")
    assert len(set(rung)) == 120
    assert await control.paused() == []


async def test_what_was_cut_short_is_finished_by_whoever_finds_it(
    queue: QueueStore, control: Control
) -> None:
    await control.hold_tenant("x")
    await control.hold_tenant("y")
    for number in range(4):
        await queue.admitted(New(queue=f"{number}.example", lane="nx"))
    await queue.resume("t:x", limit=2)
    assert {p.name: p.going_on for p in await control.paused()} == {"x": True, "y": False}
    await control.go_on()
    assert [p.name for p in await control.paused()] == ["y"]
    assert len(await queue.lease("3.example")) == 1


async def test_what_a_newer_version_wrote_is_left_to_a_newer_process(
    queue: QueueStore, control: Control
) -> None:
    message = await queue.admitted()
    value = await queue.newer(message + ".0")
    assert await control.cancel(message) == [(message + ".0", "newer")]
    await queue.client.read("HSET", queue.keys.deliveries, message + ".0", b"\x01" + value[1:])
    assert await queue.place(message + ".0") is Place.READY


async def test_a_domain_is_held_with_all_its_queues(queue: QueueStore, client: StoreClient) -> None:
    control = Control(client, 1)
    for name in ("a.example", "a.example!requiretls"):
        await queue.admitted(New(queue=name))
    await control.hold_queue("a.example", "moving")
    for name in ("a.example", "a.example!requiretls"):
        assert await queue.lease(name) == []
    assert [(one.kind, one.name) for one in await control.paused()] == [("queue", "a.example")]
    await control.unhold_queue("a.example")
    for name in ("a.example", "a.example!requiretls"):
        assert len(await queue.lease(name)) == 1
    assert await control.paused() == []
