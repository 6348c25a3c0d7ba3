"""A partition compared with its model, field by field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from relay.store.codec import Flag, Place, Stored, decode_outcome
from tests.support.consistency import Snapshot, assert_consistent
from tests.support.modelled.model import Message, Model, One
from tests.support.queue import QueueStore

_LONGEST_PARK_MS = 3_600_000


async def check(queue: QueueStore, model: Model, trimmed: Iterable[tuple[str, str]]) -> None:
    """Fails where the store is not as the model says, or does not agree with itself."""
    seen = await assert_consistent(queue.client, trimmed=trimmed)
    there = {one.id: one for one in model.all.values() if one.place is not None}
    assert set(seen.deliveries) == set(there)
    leased = await queue.scores(queue.keys.leased)
    later = await queue.scores(queue.keys.later)
    for id_, one in there.items():
        _check_delivery(one, seen.deliveries[id_])
        if one.place is Place.LEASED:
            assert leased[id_] == one.until, f"{id_}: leased until {leased[id_]}, not {one.until}"
        if one.place is Place.LATER:
            assert later[id_] == one.due_ms, f"{id_}: due {later[id_]}, not {one.due_ms}"
    for message in model.messages.values():
        await _check_message(queue, model, seen, message)


def _check_delivery(one: One, stored: Stored) -> None:
    assert stored.place is one.place, f"{one.id} is {stored.place!r}, not {one.place!r}"
    assert stored.fence == one.fence
    counts = (stored.attempts, stored.losses, stored.suspicion)
    assert counts == (one.attempts, one.losses, one.suspicion), one.id
    if one.place is Place.LEASED:
        assert stored.holder == one.holder
    names = (Flag.CANCEL, Flag.HOLD, Flag.ALONE, Flag.DOUBT, Flag.MOVED, Flag.BEGUN)
    flags = tuple(bool(stored.flags & name) for name in names)
    assert flags == one.flags(), f"{one.id}: flags {stored.flags!r}, not {one.flags()}"
    left = [recipient.address for recipient in stored.delivery.recipients]
    assert left == one.left, f"{one.id}: {left} are left, not {one.left}"


async def _check_message(queue: QueueStore, model: Model, seen: Snapshot, message: Message) -> None:
    there = message.id in seen.records
    assert there == model.known(message.id), f"{message.id}: record {there}"
    if message.accepted:
        # Neither parts that were dropped nor a record whose time is over need content.
        needed = model.is_open(message) or bool(message.claims)
        names = queue.keys.contents(message.id, message.chunks)
        count = int(await queue.client.read("EXISTS", *names))
        assert count == (len(names) if needed else 0), f"{message.id}: {count} of {names}"
    if there:
        _check_record(model, seen.records[message.id], message)


def _check_record(model: Model, fields: dict[str, bytes], message: Message) -> None:
    fates: Counter[tuple[str, str]] = Counter()
    claims = set()
    for name, value in fields.items():
        if found := re.fullmatch(r"f(\d+)\.\d+", name):
            id_ = f"{message.id}.{found[1]}"
            fates.update((id_, recipient) for recipient in _ended(name, value))
        elif found := re.fullmatch(r"k(\d+)\.(\d+)", name):
            claims.add((f"{message.id}.{found[1]}", int(found[2])))
    assert fates == message.fates, f"{fates - message.fates} {message.fates - fates}"
    assert not fates or max(fates.values()) == 1, f"two outcomes: {fates}"
    assert claims == message.claims
    assert int(fields.get("p", 0)) == message.doubles, f"{message.id}: possible doubles"
    for number in range(message.total):
        one = model.all[f"{message.id}.{number}"]
        decided = {recipient for id_, recipient in fates if id_ == one.id}
        assert decided.isdisjoint(one.left)
        assert decided | set(one.left) == set(one.new.recipients), f"{one.id}: lost recipients"
    pending = [model.all[f"{message.id}.{number}"] for number in range(message.total)]
    doubts = sum(1 + one.losses for one in pending if one.doubt)
    assert message.doubles + doubts >= message.lost, f"{message.id}: doubles that nobody counts"


def _ended(name: str, value: bytes) -> list[str]:
    ended = decode_outcome(name.encode(), value)
    if ended.attempt is not None:
        results = ended.attempt.results
        return [result.recipient for result in results if result.fate != "deferred"]
    assert ended.delivery is not None
    return [recipient.address for recipient in ended.delivery.recipients]
