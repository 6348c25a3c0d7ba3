"""What must hold of a partition at any time: every structure is checked against `deliveries`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from relay.mail.delivery import Record
from relay.store.client import StoreClient
from relay.store.codec import Place, Stored, decode_record, decode_stored
from relay.store.keys import PartitionKeys, partition_keys


class Snapshot:
    """All of one partition, read at a moment when nothing changes it."""

    def __init__(self, client: StoreClient, keys: PartitionKeys) -> None:
        self._client = client
        self.keys = keys
        self.deliveries: dict[str, Stored] = {}
        self.later: set[str] = set()
        self.ready: set[str] = set()
        self.leased: set[str] = set()
        self.held: set[str] = set()
        self.age: set[str] = set()
        self.expiry: set[str] = set()
        self.wake: set[str] = set()
        self.turns: list[tuple[str, str]] = []
        self.aside: set[tuple[str, str]] = set()
        self.clock: set[str] = set()
        self.paused: dict[str, str] = {}
        self.records: dict[str, dict[str, bytes]] = {}
        self.shares: dict[str, bytes] = {}
        self.told: Counter[tuple[str, str]] = Counter()

    async def read(self) -> Snapshot:
        """Take it."""
        keys = self.keys
        self.deliveries = {
            name: decode_stored(value)
            for name, value in (await self._hash(keys.deliveries)).items()
        }
        for name in ("later", "ready", "leased", "held", "age", "expiry", "wake"):
            setattr(self, name, set(await self._members(getattr(keys, name))))
        self.turns = [_turn(turn) for turn in await self._members(keys.turns)]
        for member in await self._members(keys.aside):
            tenant, queue, lane = member.split("|")
            assert lane[1:] == tenant, f"aside: {member}"
            self.aside.add((queue, lane))
        self.clock = set(await self._hash(keys.clock))
        self.paused = {k: v.decode() for k, v in (await self._hash(keys.paused)).items()}
        self.shares = await self._hash(keys.shares)
        await self._read_records()
        for _, fields in await self._client.read("XRANGE", keys.events, "-", "+"):
            flat = [part.decode() for part in fields]
            self.told.update(zip(flat[::2], flat[1::2], strict=True))
        return self

    async def _read_records(self) -> None:
        prefix = self.keys.prefix + "m:"
        for name in await self._client.read("KEYS", prefix + "*"):
            self.records[name.decode().removeprefix(prefix)] = await self._hash(name.decode())

    async def _members(self, key: str) -> list[str]:
        return [member.decode() for member in await self._client.read("ZRANGE", key, 0, -1)]

    async def _hash(self, key: str) -> dict[str, bytes]:
        flat = await self._client.read("HGETALL", key)
        return {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}

    async def keeps(self, message: str, chunks: int) -> tuple[int, set[int]]:
        """How many pieces of a message's content there are, and the TTLs that they have."""
        names = self.keys.contents(message, chunks)
        there = int(await self._client.read("EXISTS", *names))
        ttls = {int(await self._client.read("PTTL", name)) for name in names} - {-2}
        return there, ttls

    async def record_ttl(self, message: str) -> int:
        """How long a record is kept, ms; -1 for good."""
        return int(await self._client.read("PTTL", self.keys.record(message)))

    def at(self, *places: Place) -> dict[str, Stored]:
        """The deliveries that say they are there."""
        return {name: d for name, d in self.deliveries.items() if d.place in places}

    def of(self, message: str) -> dict[str, Stored]:
        """The open deliveries of a message."""
        return {name: d for name, d in self.deliveries.items() if name.startswith(message + ".")}


def _turn(member: str) -> tuple[str, str]:
    queue, virtual, lane = member.split("|")
    assert re.fullmatch(r"\d{15}", virtual), f"turns: {member}"
    return queue, lane


async def assert_consistent(
    client: StoreClient,
    partition: int = 0,
    partitions: int = 1,
    *,
    trimmed: Iterable[tuple[str, str]] = (),
) -> Snapshot:
    """Fails where anything in the partition disagrees; what was seen.

    `trimmed` are events that were there before, and may be so no longer.
    """
    seen = await Snapshot(client, partition_keys(partition, partitions)).read()
    seen.told.update(trimmed)
    _check_places(seen)
    _check_lanes(seen)
    _check_shares(seen)
    for message in seen.records:
        await _check_record(seen, message)
    orphans = {
        name
        for name, d in seen.deliveries.items()
        if name[:20] not in seen.records and d.place is not Place.STAGED
    }
    assert not orphans, f"deliveries without a record: {orphans}"
    return seen


def _check_places(seen: Snapshot) -> None:
    assert seen.later == set(seen.at(Place.LATER, Place.STAGED)), "later"
    assert seen.leased == set(seen.at(Place.LEASED)), "leased"
    assert seen.held == set(seen.at(Place.HELD)), "held"
    members = {f"{d.queue}|{d.lane}|{d.ms:013d}|{name}" for name, d in seen.at(Place.READY).items()}
    assert seen.ready == members, f"ready: {seen.ready ^ members}"
    assert seen.age == set(seen.deliveries), f"age: {seen.age ^ set(seen.deliveries)}"
    assert seen.expiry <= set(seen.deliveries), f"expiry: {seen.expiry - set(seen.deliveries)}"


def _check_lanes(seen: Snapshot) -> None:
    lanes = {(d.queue, d.lane) for d in seen.at(Place.READY).values()}
    turns = Counter(seen.turns)
    assert not turns or max(turns.values()) == 1, f"two turns: {turns}"
    assert not set(turns) & seen.aside, "a lane has a turn and is set aside"
    assert set(turns) | seen.aside == lanes, f"turns: {(set(turns) | seen.aside) ^ lanes}"
    stranded = {lane for _, lane in seen.aside if f"t:{lane[1:]}" not in seen.paused}
    assert not stranded, f"set aside for good: {stranded}"
    served = {queue for queue, _ in turns}
    assert seen.clock <= served, f"clock: {seen.clock - served}"
    rung = {queue for queue in served if f"q:{queue}" not in seen.paused}
    assert seen.wake == rung, f"wake: {seen.wake ^ rung}"


def _check_shares(seen: Snapshot) -> None:
    taken: Counter[str] = Counter()
    for fields in seen.records.values():
        if "b" in fields:
            octets, _, tenant = fields["b"].decode().partition(" ")
            taken[tenant] += int(octets)
    assert {tenant: int(octets) for tenant, octets in seen.shares.items()} == taken, "shares"


async def _check_record(seen: Snapshot, message: str) -> None:
    fields = seen.records[message]
    record = decode_record(fields["m"])
    open_now = seen.of(message)
    assert int(fields["o"]) == len(open_now), f"{message}: {fields['o']!r} open, {list(open_now)}"
    claims = [name for name in fields if re.fullmatch(r"k\d+\.\d+", name)]
    assert int(fields.get("k", 0)) == len(claims), f"{message}: claims"
    _check_outcomes(seen, message, record, fields)
    chunks = next((d.chunks for d in open_now.values()), None)
    ttl = await seen.record_ttl(message)
    if open_now or claims:
        assert ttl == -1, f"{message}: a TTL on what is not closed"
    else:
        assert ttl >= 0, f"{message}: closed, and kept for ever"
    if chunks is not None:
        there, ttls = await seen.keeps(message, chunks)
        assert there == max(chunks, 1), f"{message}: content is missing"
        assert ttls == {-1}, f"{message}: content with a TTL"


def _check_outcomes(seen: Snapshot, message: str, record: Record, fields: dict[str, bytes]) -> None:
    finals: dict[int, list[int]] = {}
    for name in fields:
        if found := re.fullmatch(r"f(\d+)\.(\d+)", name):
            finals.setdefault(int(found[1]), []).append(int(found[2]))
    for number in range(record.deliveries):
        delivery = f"{message}.{number}"
        assert delivery in seen.deliveries or number in finals, f"{delivery} is lost"
    for number, fences in finals.items():
        for fence in fences:
            events = [
                event
                for (name, event), _ in seen.told.items()
                if name == f"{message}.{number}" and event[1:] == str(fence)
            ]
            assert events, f"{message}.{number}: outcome {fence} was told to nobody"
