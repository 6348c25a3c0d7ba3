"""How much memory the store uses, and may use."""

from __future__ import annotations

from relay.store.client import StoreClient


async def memory(client: StoreClient) -> tuple[int, int]:
    """Octets used, and at most (0: no limit); of several primaries that of the fullest.

    Raises StoreUnavailable.
    """
    every = [_of(info) for info in await client.every("INFO", "memory")]
    return max(every, key=lambda one: one[0] / one[1] if one[1] else 0.0)


def _of(info: bytes) -> tuple[int, int]:
    fields = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
    return int(fields.get(b"used_memory", 0)), int(fields.get(b"maxmemory", 0))
