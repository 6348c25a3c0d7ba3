"""Stores that older versions of Relay left are read by this one, and go on in it.

Where the version of the records is raised, the sample of the version before stays, and one of the
new version comes beside it (tests/support/samples.py).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay.errors import DamagedRecord, NewerRecord, UnreadableRecord
from relay.store.client import StoreClient
from relay.store.codec import (
    NEEDFUL,
    VERSION,
    Flag,
    Place,
    decode_attempt,
    decode_delivery,
    decode_outcome,
    decode_record,
    decode_stored,
)
from relay.store.outbox import Outbox
from relay.store.status import Status
from tests.support.counted import Counted
from tests.support.queue import New, QueueStore, attempt
from tests.support.samples import SAMPLES, restore
from tests.support.stored import Held

_STORES = {path.stem: json.loads(path.read_text()) for path in sorted(SAMPLES.glob("v*.json"))}


class Sample(QueueStore):
    """A queue as an older version left it; `made` has the ids of its messages by name."""

    made: dict[str, str]


@pytest.fixture(params=list(_STORES.values()), ids=list(_STORES))
async def sample(client: StoreClient, request: pytest.FixtureRequest) -> Sample:
    read: dict[str, Any] = request.param
    await restore(client, read["keys"])
    sample = Sample(client)
    sample.made = read["messages"]
    # Ids made from here on are none of its own.
    sample._made = 1000
    sample._chunks[sample.made["chunked"]] = 2
    # Nobody looked at its leases since.
    await sample.look(await sample.now(), 0)
    return sample


def test_there_is_a_sample_of_every_version() -> None:
    assert list(_STORES) == [f"v{number}" for number in range(1, VERSION + 1)]


async def test_every_message_is_read(sample: Sample) -> None:
    status = Status(sample.client, 1)
    found = {name: await status.message(id_) for name, id_ in sample.made.items()}
    places = {name: [one.stored.place for one in each.open] for name, each in found.items()}
    assert places == {
        "ready": [Place.READY], "later": [Place.LATER], "held": [Place.HELD],
        "keyed": [Place.READY], "aside": [Place.READY], "delivered": [], "bounced": [],
        "deferred": [Place.LATER], "cancelled": [], "leased": [Place.LEASED], "expired": [],
        "chunked": [Place.READY],
    }  # fmt: skip
    ends = {
        name: [(over.ended.fate, over.ended.attempt is not None) for over in each.outcomes]
        for name, each in found.items()
        if each.outcomes
    }
    assert ends == {
        "delivered": [("attempted", True)], "bounced": [("attempted", True)],
        "cancelled": [("cancelled", False)], "expired": [("expired", False)],
    }  # fmt: skip
    assert found["deferred"].attempts[0].attempt.results[0].code == 451
    assert found["leased"].open[0].stored.flags & Flag.CANCEL
    assert found["aside"].open[0].paused
    assert found["ready"].open[0].reason.endswith(b"421 4.3.2 later")
    assert found["chunked"].open[0].delivery.chunks == 2
    assert found["ready"].record.sender == "s@s.example"


async def test_it_goes_on_where_it_stood(sample: Sample) -> None:
    made = sample.made
    # Who held a lease settles it, and was asked to cancel meanwhile.
    held = Held(f"{made['leased']}.0", 1, "old")
    assert await sample.extend(held) == ["cancel"]
    assert await sample.settle(held, verb="later") == ["cancelled"]
    # A settle that was recorded then is known; a key still stands for its message.
    assert await sample.settle(Held(f"{made['delivered']}.0", 1, "old")) == ["done"]
    assert await sample.admit(New(), fingerprint="f", digest="d") == ["repeated", made["keyed"]]
    assert (await sample.admit(New(), fingerprint="g", digest="d"))[0] == "conflict"
    # What was ready, held, later or set aside is delivered.
    await sample.resume("t:t1")
    await sample.unhold(f"{made['held']}.0")
    await sample.reschedule(f"{made['later']}.0", f"{made['deferred']}.0")
    for name in ("ready", "held", "later", "keyed", "aside", "deferred", "chunked"):
        queue = "a.example" if name == "ready" else f"{name}.example"
        [lease] = await sample.lease(queue)
        assert lease.id == f"{made[name]}.0"
        assert await sample.settle(lease, outcome=attempt()) == ["settled"]
    assert await sample.client.read("HLEN", sample.keys.deliveries) == 0


async def test_a_dsn_that_was_due_is_written(sample: Sample) -> None:
    outbox = Outbox(sample.client, 0, 1)
    entries = [entry for entry in await outbox.read("dsn", 1000) if entry.report_due]
    outcomes = [one for one in await outbox.outcomes(entries, 10_000) if one is not None]
    about = {one.delivery_id[:20]: one.results[0].fate for one in outcomes}
    assert about == {sample.made["bounced"]: "bounced", sample.made["expired"]: "expired"}
    assert all(one.content for one in outcomes)
    await outbox.close(outcomes)
    assert not await sample.has_content(sample.made["bounced"])


NEWER = NEEDFUL + 1
#: An array of MessagePack that begins with a newer version, and has other fields than ours.
BODY = b"\x92" + bytes((NEWER,)) + b"\xa1x"


@pytest.mark.parametrize(
    "read",
    [decode_stored, decode_delivery, decode_attempt, decode_record],
    ids=lambda read: read.__name__,
)
def test_a_newer_version_is_told_from_damage_whatever_is_in_it(read: Any) -> None:
    newer = bytes((NEWER,)) + b"anything" if read is decode_stored else BODY
    with pytest.raises(NewerRecord, match=f"version {NEWER}.*reads up to [{VERSION}{NEEDFUL}]"):
        read(newer)
    for damaged in (b"", b"\x01", b"\x01" * 24) if read is decode_stored else (b"", b"\x91\x01"):
        with pytest.raises(DamagedRecord):
            read(damaged)


def test_an_outcome_of_a_newer_attempt_is_newer() -> None:
    with pytest.raises(NewerRecord):
        decode_outcome(b"f0.1", b"o\x01w" + BODY)
    with pytest.raises(DamagedRecord):
        decode_outcome(b"f0.1", b"?")


async def test_a_newer_delivery_stops_its_queue_and_is_seen(queue: QueueStore) -> None:
    newer = await queue.admitted() + ".0"
    await queue.admitted(New(queue="b.example"))
    value = await queue.newer(newer)
    _, blocked, other = await queue.lease_raw(("a.example", 5), ("b.example", 5))
    assert blocked == [2]
    assert len(other) == 3
    assert await queue.client.read("HGET", queue.keys.deliveries, newer) == value
    await queue.client.read("HSET", queue.keys.deliveries, newer, b"\x01" + value[1:])


async def test_a_delivery_cut_off_is_passed_over(queue: QueueStore) -> None:
    damaged = await queue.admitted() + ".0"
    value = await queue.client.read("HGET", queue.keys.deliveries, damaged)
    await queue.client.read("HSET", queue.keys.deliveries, damaged, value[:10])
    _, blocked = await queue.lease_raw(("a.example", 5))
    assert blocked == [2]
    assert await queue.cancel(damaged) == ["newer"]
    await queue.promote_all()
    await queue.client.read("HSET", queue.keys.deliveries, damaged, value)


async def test_a_claim_of_a_newer_version_waits_for_a_newer_process(queue: QueueStore) -> None:
    message = await queue.admitted(New(flags=Flag.REPORT))
    [lease] = await queue.lease()
    await queue.settle(lease, event="B", outcome=attempt(fate="bounced"))
    outbox = Outbox(queue.client, 0, 1)
    entries = [entry for entry in await outbox.read("dsn", 10) if entry.report_due]
    record, field = queue.keys.record(message), "k0.1"
    value = await queue.client.read("HGET", record, field)
    await queue.client.read("HSET", record, field, bytes((NEWER,)) + value[1:])
    with pytest.raises(UnreadableRecord):
        await outbox.outcomes(entries, 10)
    # Damage must not hold up all other DSNs.
    damaged = Counted("relay_records_unreadable_total", reason="damaged")
    await queue.client.read("HSET", record, field, value[:5])
    assert await outbox.outcomes(entries, 10) == [None]
    assert damaged.more == 1
    await queue.client.read("HSET", record, field, value)
