"""What goes out of the index when records go: every worker looks through a part of it in turn."""

from __future__ import annotations

import math

from relay.store.client import StoreClient
from relay.store.index import delivery_in
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.script import script

FORGET = script("forget")
#: Members that one call looks at.
_MOST = 200
#: Seconds in which all of the index is looked through, whatever its size.
_ROUND = 1800.0
#: Calls in one turn at most: what is larger takes longer.
_MOST_CALLS = 500


class Forgetting:
    """Of all partitions. `every`: seconds between two turns of the fleet, or `turn`s of ours."""

    def __init__(self, client: StoreClient, partitions: int, every: float) -> None:
        self._client = client
        self._partitions = partitions
        self._share = every / _ROUND
        self._every_ms = round(every * 1000)

    async def turn(self) -> int:
        """Look through a part of each partition's index; how many members were taken out.

        Raises StoreUnavailable.
        """
        gone = 0
        for partition in range(self._partitions):
            keys = partition_keys(partition, self._partitions)
            size = await self._client.read("ZCARD", keys.index)
            # Whoever is first does it, for all workers.
            if size and await self._first(keys):
                calls = min(_MOST_CALLS, math.ceil(size * self._share / _MOST))
                for _ in range(calls):
                    gone += await self._look(keys)
        return gone

    async def _first(self, keys: PartitionKeys) -> bool:
        name = f"{keys.forgetting}:turn"
        taken = await self._client.read("SET", name, 1, "NX", "PX", self._every_ms * 9 // 10)
        return taken is not None

    async def _look(self, keys: PartitionKeys) -> int:
        """The next members; behind the last one it begins again."""
        behind = (await self._client.read("GET", keys.forgetting) or b"").decode()
        met: list[bytes] = await self._client.read(
            "ZRANGE", keys.index, f"({behind}" if behind else "-", "+", "BYLEX", "LIMIT", 0, _MOST
        )
        ahead = met[-1] if len(met) == _MOST else b""
        records = [keys.record(delivery_in(one)[:20]) for one in met]
        names = [*keys.of(FORGET), *records]
        _, count = await self._client.call(FORGET, names, [ahead, *met])
        return int(count)
