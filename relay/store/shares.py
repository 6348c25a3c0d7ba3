"""What the open messages of each tenant take up, as the partitions' `shares` count it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from relay.store.client import StoreClient
from relay.store.keys import PartitionKeys, partition_keys

#: Tenants read at a time.
_PAGE = 1000


class TenantOctets(Struct, frozen=True):
    """The tenants that take up most, most first, and all the others together."""

    named: Sequence[tuple[str, int]]
    others: int


class Shares:
    """Reads all partitions; never changes anything. It costs a look for each thousand tenants."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._keys = [partition_keys(number, partitions) for number in range(partitions)]

    async def largest(self, most: int) -> TenantOctets:
        """The `most` tenants with most. Raises StoreUnavailable."""
        octets: Counter[str] = Counter()
        for found in await asyncio.gather(*map(self._of, self._keys)):
            octets.update(found)
        named = octets.most_common(most)
        return TenantOctets(named, octets.total() - sum(count for _, count in named))

    async def _of(self, keys: PartitionKeys) -> dict[str, int]:
        found: dict[str, int] = {}
        cursor = b"0"
        while True:
            cursor, flat = await self._client.read("HSCAN", keys.shares, cursor, "COUNT", _PAGE)
            for at in range(0, len(flat), 2):
                # Below 0 where an older version ended what it did not count.
                found[flat[at].decode()] = max(0, int(flat[at + 1]))
            if cursor == b"0":
                return found
