"""What a call costs the store, whatever else the machine has to do meanwhile."""

from __future__ import annotations

from relay.store.client import StoreClient

_MAIN = (b"used_cpu_user_main_thread", b"used_cpu_sys_main_thread")


async def cpu_ms(client: StoreClient) -> float:
    """Milliseconds for which the thread that runs commands has had a processor so far."""
    info: bytes = await client.read("INFO", "cpu")
    fields = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
    return sum(float(fields[name]) for name in _MAIN) * 1000
