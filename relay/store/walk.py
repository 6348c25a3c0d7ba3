"""Every delivery without an outcome, a portion at a time: for commands about many messages.

Portions come from the sorted set `age` by its cursor: what is there all the while is met, and may
be met twice. Nothing on the way of a message walks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from msgspec import Struct

from relay.errors import UnreadableRecord
from relay.mail.delivery import Record
from relay.mail.ids import partition_of
from relay.store.client import StoreClient
from relay.store.codec import Place, Stored, decode_record, decode_stored
from relay.store.keys import PartitionKeys, partition_keys

#: Deliveries in one portion, about.
_PORTION = 200


class Met(Struct, frozen=True):
    """A delivery that was met."""

    partition: int
    id: str
    #: By the store's clock.
    accepted_ms: int
    stored: Stored

    @property
    def message(self) -> str:
        """The id of its message."""
        return self.id[:20]

    @property
    def tenant(self) -> str:
        """Whose message it is."""
        return self.stored.lane[1:]


class Walk:
    """Reads the deliveries of all partitions; never changes anything."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        #: Deliveries that a newer version wrote or that are damaged: passed over.
        self.unread = 0

    async def all(self) -> AsyncIterator[Sequence[Met]]:
        """All deliveries, in portions. Raises StoreUnavailable."""
        for partition in range(self._partitions):
            keys = partition_keys(partition, self._partitions)
            cursor = b"0"
            while True:
                cursor, flat = await self._client.read("ZSCAN", keys.age, cursor, "COUNT", _PORTION)
                # A small set comes whole, whatever was asked for.
                for at in range(0, len(flat), 2 * _PORTION):
                    yield await self.met(partition, keys, flat[at : at + 2 * _PORTION])
                if cursor == b"0":
                    break

    async def of(self, messages: Collection[str]) -> AsyncIterator[Sequence[Met]]:
        """The deliveries of these messages that have no outcome."""
        for message in sorted(messages):
            partition = partition_of(message)
            if partition >= self._partitions:
                continue
            keys = partition_keys(partition, self._partitions)
            value = await self._client.read("HGET", keys.record(message), "m")
            if value is None:
                continue
            count = decode_record(value).deliveries
            for at in range(0, count, _PORTION):
                names = [f"{message}.{n}" for n in range(at, min(at + _PORTION, count))]
                scores = await self._client.read("ZMSCORE", keys.age, *names)
                known = [
                    (name, int(float(score)))
                    for name, score in zip(names, scores, strict=True)
                    if score is not None
                ]
                yield await self._met(
                    partition, keys, [name for name, _ in known], [age for _, age in known]
                )

    async def met(
        self, partition: int, keys: PartitionKeys, flat: Sequence[bytes]
    ) -> Sequence[Met]:
        """Those that a part of the set `age` names, with its scores."""
        names = [name.decode() for name in flat[::2]]
        return await self._met(partition, keys, names, [int(float(age)) for age in flat[1::2]])

    async def record(self, met: Met) -> Record | None:
        """What the message's record says of it; None where it is gone. Raises UnreadableRecord."""
        keys = partition_keys(met.partition, self._partitions)
        value = await self._client.read("HGET", keys.record(met.message), "m")
        return None if value is None else decode_record(value)

    async def _met(
        self, partition: int, keys: PartitionKeys, names: Sequence[str], ages: Sequence[int]
    ) -> list[Met]:
        if not names:
            return []
        values = await self._client.read("HMGET", keys.deliveries, *names)
        found = []
        for name, age, value in zip(names, ages, values, strict=True):
            if value is None:
                continue
            try:
                stored = decode_stored(value)
            except UnreadableRecord:
                self.unread += 1
                continue
            # Staged: the message is not accepted yet.
            if stored.place is not Place.STAGED:
                found.append(Met(partition, name, age, stored))
        return found
