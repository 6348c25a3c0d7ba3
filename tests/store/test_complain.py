"""complain: a complaint is noted once, and told; also of a message that nobody knows any more."""

from __future__ import annotations

import pytest

from relay.store.client import StoreClient
from relay.store.complaints import COMPLAIN, MOST, REMEMBERED_MS, Complaints
from relay.store.script import Text
from relay.store.wire import ReplyError
from tests.support.queue import QueueStore


@pytest.fixture
def complaints(client: StoreClient) -> Complaints:
    return Complaints(client, 1)


async def test_a_complaint_is_noted_and_told_once(
    queue: QueueStore, complaints: Complaints
) -> None:
    message = await queue.admitted()
    assert await complaints.note(message, "acme", "u@a.example", "abuse") == ("noted", 1)
    assert await complaints.note(message, "acme", "u@a.example", "fraud") == ("repeated", 1)
    assert await complaints.note(message, "acme", "v@a.example", "fraud") == ("noted", 2)
    told = [one for one in await queue.events() if one[1].startswith("j")]
    assert told == [(f"{message}.0", "j1"), (f"{message}.0", "j2")]
    now = await queue.now()
    found = await complaints.of(message)
    assert [(one.recipient, one.kind, one.tenant) for one in found] == [
        ("u@a.example", "abuse", "acme"),
        ("v@a.example", "fraud", "acme"),
    ]
    assert all(now - 10_000 < one.at_ms <= now for one in found)


async def test_the_message_itself_is_not_touched(queue: QueueStore, complaints: Complaints) -> None:
    message = await queue.admitted()
    before = await queue.record(message)
    await complaints.note(message, "", "", "abuse")
    assert await queue.record(message) == before


async def test_one_whose_record_is_gone_may_be_complained_about(
    queue: QueueStore, complaints: Complaints
) -> None:
    message = queue.new_id()
    assert await complaints.tenant_of(message) is None
    assert (await complaints.note(message, "", "", "abuse")).word == "noted"
    key = queue.keys.complaints(message)
    assert 0 < await queue.client.read("PTTL", key) <= REMEMBERED_MS


async def test_said_twice_with_the_same_token_it_is_the_same(queue: QueueStore) -> None:
    message = await queue.admitted()
    names: list[Text] = [queue.keys.events, queue.keys.complaints(message)]
    args: list[Text] = [message, "", "u@a.example", "abuse", "token", REMEMBERED_MS, MOST]
    assert await queue.run("complain", names, *args) == ["noted", 1]
    before = await queue.dump()
    assert await queue.run("complain", names, *args) == ["noted", 1]
    assert await queue.dump() == before


async def test_no_more_than_so_many_are_noted_of_one_message(queue: QueueStore) -> None:
    message = await queue.admitted()
    names: list[Text] = [queue.keys.events, queue.keys.complaints(message)]
    for number in (1, 2):
        answer = await queue.run(
            "complain", names, message, "", f"u{number}@a.example", "abuse", "t", REMEMBERED_MS, 1
        )
    assert answer == ["full", 1]


async def test_it_works_at_maxmemory(queue: QueueStore, complaints: Complaints) -> None:
    message = await queue.admitted()
    async with queue.full():
        assert (await complaints.note(message, "", "", "abuse")).word == "noted"


async def test_missing_arguments_are_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.client.call(COMPLAIN, [queue.keys.events, "j"], ["id"])
