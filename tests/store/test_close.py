"""close: the last claim on the content goes, and the content with it."""

from __future__ import annotations

import pytest

from relay.store.wire import ReplyError
from tests.support.queue import RETENTION_MS, New, QueueStore


async def test_the_last_claim_takes_the_content_with_it(queue: QueueStore) -> None:
    message = await queue.admitted(New(), New(queue="b.example"))
    [one], [two] = await queue.lease("a.example"), await queue.lease("b.example")
    await queue.settle(one, two, event="B")
    assert await queue.close((one.id, 1)) == ["closed"]
    assert await queue.has_content(message)
    assert await queue.close((two.id, 1)) == ["closed"]
    assert not await queue.has_content(message)
    assert 0 < await queue.ttl(message) <= RETENTION_MS


async def test_said_twice_it_is_done_and_counted_once(queue: QueueStore) -> None:
    message = await queue.admitted(New(), New(queue="b.example"))
    [one], [two] = await queue.lease("a.example"), await queue.lease("b.example")
    await queue.settle(one, two, event="B")
    assert await queue.close((one.id, 1), (one.id, 1)) == ["closed", "done"]
    before = await queue.dump()
    assert await queue.close((one.id, 1)) == ["done"]
    assert await queue.dump() == before
    assert await queue.has_content(message), "the other DSN needs it"


async def test_what_is_still_open_keeps_the_content(queue: QueueStore) -> None:
    message = await queue.admitted(New(), New(queue="b.example"))
    [one] = await queue.lease("a.example")
    await queue.settle(one, event="B")
    await queue.close((one.id, 1))
    assert await queue.has_content(message)
    assert await queue.ttl(message) == -1


async def test_chunks_go_too(queue: QueueStore) -> None:
    message = queue.new_id()
    await queue.store_chunks(message, 2)
    await queue.admitted(message=message, chunks=2)
    [lease] = await queue.lease()
    await queue.settle(lease, event="B")
    await queue.close((lease.id, 1))
    assert await queue.client.read("EXISTS", *queue.contents(message)) == 0


async def test_of_a_message_that_is_gone_nothing_is_made_anew(queue: QueueStore) -> None:
    assert await queue.close((queue.new_id() + ".0", 1)) == ["done"]
    assert await queue.dump() == {}


async def test_it_works_at_maxmemory(queue: QueueStore) -> None:
    await queue.admitted()
    [lease] = await queue.lease()
    await queue.settle(lease, event="B")
    async with queue.full():
        assert await queue.close((lease.id, 1)) == ["closed"]


async def test_missing_arguments_are_refused(queue: QueueStore) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await queue.run("close", ["relay:{p00}:shares", "relay:{p00}:m:x"], 1, "id", 1)
