"""A partition of a store as tests look into it, and move time in it by moving scores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from relay.mail.ids import message_id
from relay.store.client import StoreClient
from relay.store.codec import Place, Stored, decode_stored
from relay.store.keys import PartitionKeys, partition_keys


class Held(Struct, frozen=True):
    """A lease as its holder has it."""

    id: str
    fence: int
    holder: str

    @property
    def message(self) -> str:
        """The message's id."""
        return self.id[:20]


class StoreReader:
    """One partition, read and moved by hand."""

    def __init__(self, client: StoreClient) -> None:
        self.client = client
        self.keys: PartitionKeys = partition_keys(0, 1)
        self._made = 0
        #: Chunks of each message's content, where it does not lie in one piece.
        self._chunks: dict[str, int] = {}

    def partition(self, partition: int, partitions: int) -> None:
        """Talk of another partition from now on."""
        self.keys = partition_keys(partition, partitions)

    def new_id(self) -> str:
        """A message id, later than the ones before."""
        self._made += 1
        return message_id(ms=1_800_000_000_000 + self._made, partition=0, chance=self._made)

    async def now(self) -> int:
        """The store's clock, in ms."""
        seconds, micros = await self.client.read("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def tick(self) -> None:
        """Wait for the next ms of the store's clock, by which ready deliveries are ordered."""
        now = await self.now()
        while await self.now() == now:
            pass

    def contents(self, message: str) -> list[str]:
        """The keys of a message's content."""
        return self.keys.contents(message, self._chunks.get(message, 0))

    async def stored(self, delivery: str) -> Stored | None:
        """A delivery as it is stored."""
        value = await self.client.read("HGET", self.keys.deliveries, delivery)
        return decode_stored(value) if value else None

    async def place(self, delivery: str) -> Place | None:
        """Where a delivery is; None where it is final or unknown."""
        stored = await self.stored(delivery)
        return stored.place if stored else None

    async def record(self, message: str) -> dict[str, bytes]:
        """A message's record."""
        flat = await self.client.read("HGETALL", self.keys.record(message))
        return {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}

    async def ttl(self, message: str) -> int:
        """For how many ms a message's record is kept; -1: for good, -2: gone."""
        return int(await self.client.read("PTTL", self.keys.record(message)))

    async def has_content(self, message: str) -> bool:
        """Whether all content of a message is there."""
        names = self.contents(message)
        return int(await self.client.read("EXISTS", *names)) == len(names)

    async def events(self) -> list[tuple[str, str]]:
        """All events, oldest first: delivery id, kind and fence."""
        found = []
        for _, fields in await self.client.read("XRANGE", self.keys.events, "-", "+"):
            flat = [part.decode() for part in fields]
            found += list(zip(flat[::2], flat[1::2], strict=True))
        return found

    async def scores(self, key: str) -> dict[str, int]:
        """A sorted set, with its scores."""
        flat = await self.client.read("ZRANGE", key, 0, -1, "WITHSCORES")
        return {flat[at].decode(): int(float(flat[at + 1])) for at in range(0, len(flat), 2)}

    async def dump(self) -> dict[str, bytes]:
        """Everything of the partition that is to stay as it is where nothing may change."""
        names = sorted(await self.client.read("KEYS", "relay:*"))
        return {
            name.decode(): await self.client.read("DUMP", name)
            for name in names
            if not name.endswith(b"seen")
        }

    async def set_score(self, key: str, member: str, ms: int) -> None:
        """Give a member of a sorted set another time."""
        assert await self.client.read("ZSCORE", key, member) is not None, member
        await self.client.read("ZADD", key, "XX", ms, member)

    async def expire(self, *leases: Held) -> None:
        """As if these leases had run out, while others were looked at all the time."""
        now = await self.now()
        for lease in leases:
            await self.set_score(self.keys.leased, lease.id, now - 1)
        await self.look(now - 10, 0)

    async def look(self, last: int, grace: int = 0) -> None:
        """As if leases had last been looked at then."""
        await self.client.read("SET", self.keys.seen, f"{last} {grace}")

    async def newer(self, delivery: str) -> bytes:
        """As if a newer version of Relay had written the delivery."""
        value = await self.client.read("HGET", self.keys.deliveries, delivery)
        value = b"\x63" + value[1:]
        await self.client.read("HSET", self.keys.deliveries, delivery, value)
        return bytes(value)

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """As long as this lasts, the server is at maxmemory."""
        await self.client.read("CONFIG", "SET", "maxmemory", "1mb")
        try:
            yield
        finally:
            await self.client.read("CONFIG", "SET", "maxmemory", "0")
