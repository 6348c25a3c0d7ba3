"""How much memory the store uses, and may use."""

from __future__ import annotations

from relay.store.client import StoreClient


async def memory(client: StoreClient) -> tuple[int, int]:
    """Octets used, and at most (0: no limit). Raises StoreUnavailable."""
    info: bytes = await client.read("INFO", "memory")
    fields = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
    return int(fields.get(b"used_memory", 0)), int(fields.get(b"maxmemory", 0))
