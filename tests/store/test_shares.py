"""What open messages of each tenant take up is counted; who has more than a share is refused."""

from __future__ import annotations

from typing import Any

import pytest

from relay.store.codec import Flag
from relay.store.outbox import Outbox
from tests.support.queue import MINUTE, New, QueueStore, attempt

T1 = New(lane="nt1")


async def shares(queue: QueueStore) -> dict[str, int]:
    flat = await queue.client.read("HGETALL", queue.keys.shares)
    return {flat[at].decode(): int(flat[at + 1]) for at in range(0, len(flat), 2)}


async def test_what_a_tenant_takes_up_is_content_and_its_deliveries(queue: QueueStore) -> None:
    await queue.admitted(T1, content=b"x" * 1000)
    one = await shares(queue)
    assert 1000 < one["t1"] < 3000
    await queue.admitted(T1, T1, content=b"x" * 1000)
    await queue.admitted(New(lane="bt2"))
    await queue.admitted(New())
    found = await shares(queue)
    assert found.keys() == {"t1", "t2"}
    assert found["t1"] > 2 * one["t1"]


async def test_content_in_chunks_counts_whole(queue: QueueStore) -> None:
    message = queue.new_id()
    await queue.store_chunks(message, 3)
    await queue.admitted(T1, message=message, chunks=3)
    few = (await shares(queue))["t1"]
    await queue.admitted(New(lane="nt2"), content=b"")
    assert few - (await shares(queue))["t2"] == 30


@pytest.mark.parametrize("end", ["delivered", "cancelled", "expired", "bounced"])
async def test_a_tenant_has_it_back_when_the_content_goes(queue: QueueStore, end: str) -> None:
    expires_ms = await queue.now() - 2 * MINUTE if end == "expired" else 0
    flags = Flag.REPORT if end == "bounced" else Flag(0)
    message = await queue.admitted(
        New(lane="nt1", expires_ms=expires_ms, flags=flags), New(lane="nt1", queue="b.example")
    )
    if end == "cancelled":
        await queue.cancel(f"{message}.0")
    elif end == "expired":
        await queue.promote_all()
    else:
        [lease] = await queue.lease()
        event = "B" if end == "bounced" else "d"
        await queue.settle(lease, event=event, outcome=attempt(fate=end))
        assert await queue.settle(lease, event=event, outcome=attempt(fate=end)) == ["done"]
    assert (await shares(queue)).keys() == {"t1"}
    [last] = await queue.lease("b.example")
    await queue.settle(last)
    if end == "bounced":
        # The DSN still needs it.
        assert (await shares(queue)).keys() == {"t1"}
        assert await queue.close((f"{message}.0", 1)) == ["closed"]
        assert await queue.close((f"{message}.0", 1)) == ["done"]
    assert await shares(queue) == {}


async def test_who_has_more_than_its_share_is_refused_and_nobody_else(queue: QueueStore) -> None:
    assert (await queue.admit(T1, content=b"x" * 1000, share=4000))[0] == "accepted"
    message = queue.new_id()
    full = await queue.admit(T1, content=b"x" * 3000, share=4000, message=message)
    assert full == ["share", message]
    assert (await queue.admit(New(lane="nt2"), content=b"x" * 3000, share=4000))[0] == "accepted"
    assert (await queue.admit(New(), content=b"x" * 9000, share=4000))[0] == "accepted"
    # While there is room nobody is asked.
    assert (await queue.admit(T1, content=b"x" * 9000, share=0))[0] == "accepted"


async def test_a_repeat_is_known_before_the_share_is_looked_at(queue: QueueStore) -> None:
    first = await queue.admitted(T1, content=b"x" * 1000, fingerprint="f", digest="d")
    again = await queue.admit(T1, content=b"x" * 1000, fingerprint="f", digest="d", share=1)
    assert again == ["repeated", first]


async def test_a_message_in_parts_counts_once_and_all_of_it(queue: QueueStore) -> None:
    message = queue.new_id()
    both: dict[str, Any] = {"message": message, "total": 2}
    assert await queue.admit(T1, part="staged", **both) == ["staged", message]
    assert await shares(queue) == {}
    assert (await queue.admit(T1, part="last", first=1, **both))[0] == "accepted"
    whole = await shares(queue)
    await queue.admitted(New(lane="nt2"), New(lane="nt2"))
    assert (await shares(queue))["t2"] == whole["t1"]


async def test_what_an_older_version_admitted_takes_nothing_from_the_count(
    queue: QueueStore,
) -> None:
    older = await queue.admitted(T1)
    await queue.admitted(New(lane="nt1", queue="b.example"))
    octets = (await queue.client.read("HGET", queue.keys.record(older), "b")).split()[0]
    await queue.client.read("HDEL", queue.keys.record(older), "b")
    await queue.client.read("HINCRBY", queue.keys.shares, "t1", -int(octets))
    before = await shares(queue)
    await queue.settle(*await queue.lease())
    assert await shares(queue) == before
    assert await Outbox(queue.client, 0, 1).cursor("dsn") == "0-0"
