"""admit: the acceptance, once and whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from relay.errors import StoreFull
from relay.store.codec import Flag, Place
from relay.store.wire import ReplyError
from tests.support.queue import DEADLINE_MS, MINUTE, New, QueueStore


async def test_a_message_is_accepted_whole(queue: QueueStore) -> None:
    word, message, *rung = await queue.admit(New(queue="a.example"), New(queue="b.example"))

    assert (word, rung) == ("accepted", ["a.example", "b.example"])
    assert await queue.place(message + ".0") is Place.READY
    assert await queue.place(message + ".1") is Place.READY
    assert (await queue.record(message))["o"] == b"2"
    assert await queue.has_content(message)
    assert await queue.events() == [(message, "a")]


async def test_a_queue_is_rung_once_until_it_is_drained(queue: QueueStore) -> None:
    _, _, *rung = await queue.admit()
    assert rung == ["a.example"]
    _, _, *again = await queue.admit()
    assert again == []
    now = await queue.now()
    assert now < (await queue.scores(queue.keys.wake))["a.example"] <= now + DEADLINE_MS


async def test_a_lane_has_one_turn_however_many_come(queue: QueueStore) -> None:
    for lane in ("nx", "nx", "ny", "nx"):
        await queue.admitted(New(lane=lane))
    assert len(await queue.scores(queue.keys.turns)) == 2


async def test_a_queue_that_lost_its_wake_up_is_rung_and_loses_nothing(queue: QueueStore) -> None:
    first = await queue.admitted()
    await queue.client.read("DEL", queue.keys.wake)
    _, second, *rung = await queue.admit()
    assert rung == ["a.example"]
    leased = [lease.message for lease in await queue.lease()]
    assert (leased, await queue.lease()) == ([first, second], [])
    assert await queue.scores(queue.keys.turns) == {}


async def test_said_twice_it_is_accepted_once_and_a_mark_is_written(queue: QueueStore) -> None:
    first = await queue.admit(message=(message := queue.new_id()))
    assert first[0] == "accepted"
    offset = await _offset(queue)
    assert await queue.admit(message=message) == ["repeated", message]
    assert await _offset(queue) > offset, "WAIT has nothing to count"
    assert len(await queue.events()) == 1
    assert (await queue.record(message))["o"] == b"1"


async def test_a_message_that_is_over_is_not_accepted_again(queue: QueueStore) -> None:
    message = await queue.admitted()
    await queue.settle(*await queue.lease())
    assert await queue.admit(message=message) == ["repeated", message]
    assert await queue.place(message + ".0") is None


async def test_an_idempotency_key_stands_for_one_message(queue: QueueStore) -> None:
    first = await queue.admitted(fingerprint="same")
    assert await queue.admit(fingerprint="same") == ["repeated", first]
    assert await queue.admit(fingerprint="other") == ["conflict", first]
    second = await queue.admitted(fingerprint="other", digest="l")
    assert second != first
    assert await queue.client.read("PTTL", queue.keys.idempotency("k")) > 0
    assert set(await queue.scores(queue.keys.age)) == {first + ".0", second + ".0"}


async def test_without_its_chunks_nothing_is_accepted(queue: QueueStore) -> None:
    message = queue.new_id()
    await queue.store_chunks(message, 2)
    assert await queue.admit(message=message, chunks=3) == ["missing", message]
    assert await queue.scores(queue.keys.age) == {}

    await queue.store_chunks(message, 3)
    assert (await queue.admit(message=message, chunks=3))[0] == "accepted"
    for name in queue.contents(message):
        assert await queue.client.read("PTTL", name) == -1


async def test_a_delivery_with_a_time_of_its_own_waits_in_later(queue: QueueStore) -> None:
    due = await queue.now() + MINUTE
    word, message, *rung = await queue.admit(New(due_ms=due), New(queue="b.example", due_ms=1))
    assert (word, rung) == ("accepted", ["b.example"])
    assert await queue.scores(queue.keys.later) == {message + ".0": due}


async def test_expiry_is_kept_only_where_the_message_has_its_own(queue: QueueStore) -> None:
    expires = await queue.now() + MINUTE
    message = await queue.admitted(New(expires_ms=expires), New(queue="b.example"))
    assert await queue.scores(queue.keys.expiry) == {message + ".0": expires}


async def test_parts_are_not_visible_before_the_last_one(queue: QueueStore) -> None:
    message = queue.new_id()
    part: dict[str, Any] = {"message": message, "total": 3}
    assert await queue.admit(New(), New(), part="staged", **part) == ["staged", message]
    assert await queue.record(message) == {}
    assert await queue.lease() == []
    assert await queue.promote_all() == [
        0,
        pytest.approx(await queue.now() + MINUTE, abs=5000),
        [],
        [],
    ]
    assert await queue.cancel(message + ".0") == ["unknown"]

    assert (await queue.admit(New(), first=2, part="last", **part))[:2] == ["accepted", message]
    assert await queue.place(message + ".0") is Place.STAGED
    await queue.tick()
    assert (await queue.promote_all())[0] == 2
    assert [lease.id for lease in await queue.lease()] == [f"{message}.{n}" for n in (2, 0, 1)]


async def test_parts_said_twice_are_staged_once(queue: QueueStore) -> None:
    message = queue.new_id()
    for _ in range(2):
        answer = await queue.admit(New(), message=message, total=2, part="staged")
        assert answer == ["staged", message]
    for expected in ("accepted", "repeated"):
        answer = await queue.admit(New(), message=message, total=2, first=1, part="last")
        assert answer[0] == expected
    assert await queue.admit(New(), message=message, total=2, part="staged") == [
        "repeated",
        message,
    ]
    assert (await queue.record(message))["o"] == b"2"


async def test_parts_whose_last_one_never_comes_are_dropped(queue: QueueStore) -> None:
    message = queue.new_id()
    await queue.admit(
        New(expires_ms=await queue.now() + MINUTE), message=message, total=2, part="staged"
    )
    await queue.set_score(queue.keys.later, message + ".0", await queue.now() - 1)
    await queue.promote_all()
    assert await queue.stored(message + ".0") is None
    assert await queue.scores(queue.keys.later) == {}
    assert await queue.scores(queue.keys.expiry) == {}


async def test_a_last_part_is_refused_when_an_earlier_one_was_dropped(queue: QueueStore) -> None:
    message = queue.new_id()
    await queue.admit(New(), message=message, total=2, part="staged")
    await queue.set_score(queue.keys.later, message + ".0", await queue.now() - 1)
    await queue.promote_all()

    last: dict[str, Any] = {"message": message, "total": 2, "first": 1, "part": "last"}
    assert await queue.admit(New(), **last) == ["missing", message]
    await queue.admit(New(), message=message, total=2, part="staged")
    assert (await queue.admit(New(), **last))[0] == "accepted"


async def test_a_staged_delivery_keeps_its_own_time(queue: QueueStore) -> None:
    message, due = queue.new_id(), await queue.now() + MINUTE
    await queue.admit(New(due_ms=due), message=message, total=2, part="staged")
    await queue.admit(New(due_ms=due), message=message, total=2, first=1, part="last")
    await queue.promote_all()
    assert await queue.scores(queue.keys.later) == {message + ".0": due, message + ".1": due}
    assert await queue.lease() == []


async def test_staged_deliveries_can_be_cancelled_once_accepted(queue: QueueStore) -> None:
    message = queue.new_id()
    await queue.admit(New(), message=message, total=2, part="staged")
    await queue.admit(New(), message=message, total=2, first=1, part="last")
    assert await queue.cancel(message + ".0", message + ".1") == ["cancelled", "cancelled"]
    assert (await queue.promote_all())[0] == 0


@pytest.mark.parametrize(
    "delivery",
    [
        pytest.param(New(queue="a|b"), id="a bar in the queue"),
        pytest.param(New(lane="na|b"), id="a bar in the lane"),
        pytest.param(New(queue="a" * 256), id="a queue too long for the header"),
        pytest.param(New(cost=70_000), id="a cost too large for the header"),
    ],
)
async def test_what_the_header_cannot_hold_is_refused_untouched(
    queue: QueueStore, delivery: New
) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.admit(New(), delivery)
    assert await queue.dump() == {}


async def test_missing_arguments_are_refused_untouched(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("admit", queue.fixed("admit"), "x")
    assert await queue.dump() == {}


async def test_at_maxmemory_it_fails_and_changes_nothing(queue: QueueStore) -> None:
    await queue.admitted()
    before = await queue.dump()
    async with queue.full():
        with pytest.raises(StoreFull):
            await queue.admit()
        assert await queue.dump() == before


async def test_flags_and_texts_survive_the_header(queue: QueueStore) -> None:
    message = await queue.admitted(
        New(flags=Flag.REPORT, lane="htenant", recipients=("ü@a.example",))
    )
    stored = await queue.stored(message + ".0")
    assert stored is not None
    assert (stored.flags, stored.lane, stored.queue) == (Flag.REPORT, "htenant", "a.example")
    assert stored.delivery.recipients[0].address == "ü@a.example"


async def _offset(queue: QueueStore) -> int:
    info = await queue.client.read("INFO", "persistence")
    commands = await queue.client.read("INFO", "replication")
    for line in (commands + info).decode().splitlines():
        if line.startswith("aof_current_size:"):
            return int(line.partition(":")[2])
    raise AssertionError("no append-only file")
