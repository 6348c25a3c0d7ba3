"""Leases on deliveries: taking them, and giving them back with an outcome or without."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from relay.errors import NewerRecord, UnreadableRecord
from relay.mail.delivery import Delivery
from relay.store import observed
from relay.store.client import StoreClient
from relay.store.codec import VERSION, Flag, Stored, decode_stored
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.script import Text, script

LEASE, SETTLE, RELEASE, PARK = script("lease"), script("settle"), script("release"), script("park")
BEGIN, HOLD = script("begin"), script("hold")
RETAKE = script("retake")

#: Deliveries in one call at most, and octets of attempts and bodies in one settle.
MOST_DELIVERIES = 50
MOST_OCTETS = 1 << 20
#: Deferrals of a delivery whose attempts a record keeps; older ones are overwritten.
KEPT_DEFERRALS = 8

#: What lease says of a queue besides 0.
_MORE, _UNREADABLE = 1, 2
_NEXT = NewerRecord(
    f"the next delivery of a queue is of a version above {VERSION}: the queue is left to a newer "
    "process"
)


class LeaseOptions(Struct, frozen=True):
    """Times in milliseconds."""

    lease_ms: int = 30_000
    #: When the pump rings a queue again that nobody drains.
    deadline_ms: int = 10_000
    #: How old a delivery may get.
    longest_ms: int = 5 * 24 * 3600 * 1000


class Lease(Struct, frozen=True):
    """The right to one attempt of a delivery, for a time; the fence tells it from later ones."""

    partition: int
    id: str
    fence: int
    flags: Flag
    #: Deferrals so far.
    attempts: int
    queue: str
    delivery: Delivery
    #: The class's first letter and the tenant.
    lane: str = ""
    #: Leases lost since the first one, and what that says of it (scripts/lib/suspicion.lua).
    losses: int = 0
    suspicion: int = 0

    @property
    def tenant(self) -> str:
        """Whose message it is; empty where it has no tenant."""
        return self.lane[1:]

    @property
    def message(self) -> str:
        """The id of the delivery's message."""
        return self.id[:20]


class Grant(Struct, frozen=True):
    """What a lease call gave for one queue."""

    queue: str
    #: More is ready than was granted.
    more: bool
    leases: tuple[Lease, ...]


class Settlement(Struct, frozen=True):
    """What is to be recorded of one attempt; see scripts/settle.lua for the fields."""

    lease: Lease
    #: "final", "later" or "hold".
    verb: str
    wait_ms: int
    #: The delivery with the recipients that remain, b"" where none became final.
    body: bytes
    #: Some recipient is final, so the attempt is kept as long as the record.
    final: bool
    attempt: bytes
    #: The event for the outbox: d, b, f ..., upper case where a DSN is due.
    event: str


class Leasing:
    """The leases of one holder, a worker process, in all partitions."""

    def __init__(
        self, client: StoreClient, partitions: int, holder: str, options: LeaseOptions
    ) -> None:
        self._client = client
        self._partitions = self.partitions = partitions
        self._holder = holder
        self._options = options
        self._seq = 0
        #: How long a closed record is kept, in ms; falls as the store fills (policy.retention).
        self.retention_ms = 24 * 3600 * 1000

    async def lease(
        self, partition: int, wants: Sequence[tuple[str, int]], most: int = MOST_DELIVERIES
    ) -> list[Grant]:
        """Lease up to `most` deliveries of the queues, each with how many are wanted of it.

        One call at a time and partition, since a repeat is known by its number.
        """
        keys = partition_keys(partition, self._partitions)
        self._seq += 1
        args: list[Text] = [
            self._holder,
            self._seq,
            self._options.lease_ms,
            self._options.deadline_ms,
            most,
        ]
        for queue, count in wants:
            args += (queue, count)
        answer = await self._client.call(LEASE, _lease_keys(keys, self._holder), args)
        grants = []
        for (queue, _), entry in zip(wants, answer[1:], strict=True):
            grant, newer, damaged = _grant(partition, queue, entry)
            grants.append(grant)
            if newer:
                self._leave(self._release(keys, newer, self._options.deadline_ms))
            if damaged:
                self._leave(self._hold(keys, damaged))
        return grants

    def _leave(self, asked: asyncio.Future[Any]) -> None:
        """Have it done, if the store does: what is not done now is done at the next lease."""
        asked.add_done_callback(lambda answer: answer.cancelled() or answer.exception())

    def _hold(self, keys: PartitionKeys, deliveries: Sequence[str]) -> asyncio.Future[Any]:
        """Have leased deliveries held as soon as their leases are reclaimed."""
        names = keys.of(HOLD)
        names += [keys.record(delivery[:20]) for delivery in deliveries]
        return self._client.call(HOLD, names, deliveries)

    def settle(self, partition: int, batch: Sequence[Settlement]) -> asyncio.Future[list[bytes]]:
        """Record a batch of attempts of one partition; a word for each (scripts/settle.lua)."""
        keys = partition_keys(partition, self._partitions)
        names = keys.of(SETTLE)
        args: list[Text] = [
            self._holder,
            self._options.lease_ms,
            self._options.longest_ms,
            self.retention_ms,
        ]
        for item in batch:
            lease = item.lease
            contents = keys.contents(lease.message, lease.delivery.chunks)
            names.append(keys.record(lease.message))
            names += contents
            args += (
                lease.id,
                lease.fence,
                item.verb,
                item.wait_ms,
                item.body,
                "" if item.final else lease.fence % KEPT_DEFERRALS,
                item.attempt,
                item.event,
                len(contents),
            )
        return self._client.call(SETTLE, names, args)

    def release(
        self, partition: int, leases: Sequence[Lease], wait_ms: int = 0
    ) -> asyncio.Future[list[bytes]]:
        """Give leases back without an attempt; their queues are rung in `wait_ms`."""
        keys = partition_keys(partition, self._partitions)
        return self._release(keys, [(lease.id, lease.fence) for lease in leases], wait_ms)

    def _release(
        self, keys: PartitionKeys, leases: Sequence[tuple[str, int]], wait_ms: int
    ) -> asyncio.Future[list[bytes]]:
        args: list[Text] = [self._holder, wait_ms]
        for lease in leases:
            args += lease
        return self._client.call(RELEASE, keys.of(RELEASE), args)

    def begin(self, lease: Lease) -> asyncio.Future[list[bytes]]:
        """Begin with a delivery that is to be alone: it is to be suspected if this process ends.

        The answer is one word: "begun" or "lost".
        """
        return self._begin(lease.partition, lease.id, lease.fence)

    def begin_none(self, partition: int) -> asyncio.Future[list[bytes]]:
        """No delivery of the partition is to be suspected any more."""
        return self._begin(partition, "", 0)

    def _begin(self, partition: int, delivery: str, fence: int) -> asyncio.Future[list[bytes]]:
        keys = partition_keys(partition, self._partitions)
        args: list[Text] = [self._holder, delivery, fence]
        return self._client.call(BEGIN, keys.of(BEGIN), args)

    def release_all(
        self, leases: Sequence[Lease], wait_ms: int = 0
    ) -> list[asyncio.Future[list[bytes]]]:
        """The same for leases of any partitions, in as many calls as that takes."""
        by_partition: dict[int, list[Lease]] = {}
        for lease in leases:
            by_partition.setdefault(lease.partition, []).append(lease)
        return [
            self.release(partition, some[at : at + MOST_DELIVERIES], wait_ms)
            for partition, some in by_partition.items()
            for at in range(0, len(some), MOST_DELIVERIES)
        ]

    def retake(self, partition: int, leases: Sequence[Lease]) -> asyncio.Future[list[bytes]]:
        """Take back what the store lost of them; a word for each (scripts/retake.lua)."""
        options = self._options
        return retake(
            self._client, self._partitions, self._holder, options.lease_ms, partition, leases
        )

    def park(
        self, partition: int, queues: Sequence[str], wait_ms: int, reason: str
    ) -> asyncio.Future[Any]:
        """Ring the queues in `wait_ms` and not before; `reason` is what `relay queue` shows."""
        keys = partition_keys(partition, self._partitions)
        args: list[Text] = []
        for queue in queues:
            args += (queue, wait_ms, reason)
        return self._client.call(PARK, [keys.wake, keys.reasons], args)


def retake(
    client: StoreClient,
    partitions: int,
    holder: str,
    lease_ms: int,
    partition: int,
    leases: Sequence[Lease],
) -> asyncio.Future[list[bytes]]:
    """Take back leases of a partition that the store itself lost (scripts/retake.lua)."""
    keys = partition_keys(partition, partitions)
    names = keys.of(RETAKE)
    args: list[Text] = [holder, lease_ms]
    for lease in leases:
        names.append(keys.record(lease.message))
        args += (lease.id, lease.fence)
    return client.call(RETAKE, names, args)


def _grant(
    partition: int, queue: str, entry: list[Any]
) -> tuple[Grant, list[tuple[str, int]], list[str]]:
    """What can be attempted; what is for a newer process, with its fences; and what is damaged."""
    leases, newer, damaged = [], [], []
    for at in range(1, len(entry), 2):
        id_ = entry[at].decode()
        fence = 0
        try:
            stored = decode_stored(entry[at + 1])
            fence = stored.fence
            leases.append(_lease(partition, id_, queue, stored))
        except NewerRecord as error:
            observed.unreadable(error, delivery=id_)
            newer.append((id_, fence))
        except UnreadableRecord as error:
            observed.unreadable(error, delivery=id_)
            damaged.append(id_)
    if entry[0] == _UNREADABLE:
        observed.unreadable(_NEXT, queue=queue)
    return Grant(queue, entry[0] == _MORE, tuple(leases)), newer, damaged


def _lease(partition: int, id_: str, queue: str, stored: Stored) -> Lease:
    return Lease(
        partition,
        id_,
        stored.fence,
        stored.flags,
        stored.attempts,
        queue,
        stored.delivery,
        stored.lane,
        stored.losses,
        stored.suspicion,
    )


def _lease_keys(keys: PartitionKeys, holder: str) -> list[Text]:
    return [
        keys.deliveries,
        keys.ready,
        keys.turns,
        keys.clock,
        keys.leased,
        keys.wake,
        keys.paused,
        keys.aside,
        keys.seen,
        keys.grant(holder),
        keys.reasons,
    ]
