"""Reception is told in time that the store is full, and that it has room again: not in turns."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.fullness import Fullness
from tests.support.reception import until
from tests.support.valkey import STORE_OPTIONS, ValkeyServer

_MEGABYTE = 1 << 20


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    server = ValkeyServer(**STORE_OPTIONS).start()
    yield server
    server.remove()


@pytest.fixture
async def client(server: ValkeyServer) -> AsyncIterator[StoreClient]:
    client = StoreClient(Address.parse(server.url))
    await client.start()
    yield client
    await client.close()


async def test_it_is_full_before_a_write_fails_and_has_room_again_well_below(
    server: ValkeyServer, client: StoreClient, tmp_path: Path
) -> None:
    full = Fullness(client, memory_high=0.8, disk_low=0, disk=tmp_path / "none")
    server.command("CONFIG", "SET", "maxmemory", str(100 * _MEGABYTE))
    watching = asyncio.create_task(full.watch())
    try:
        count = 0
        while not full():
            assert server.command("SET", f"k{count}", b"x" * _MEGABYTE) == b"OK"
            count += 1
            await asyncio.sleep(0.02)
        assert count < 90
        used = [
            line for line in server.command("INFO", "memory").split() if b"used_memory:" in line
        ]
        assert int(used[0].partition(b":")[2]) < 95 * _MEGABYTE
        # A little room is none yet.
        server.command("DEL", *(f"k{number}" for number in range(count - 78)))
        await asyncio.sleep(0.3)
        assert full()
        server.command("DEL", *(f"k{number}" for number in range(count - 70)))
        await until(lambda: not full())
    finally:
        watching.cancel()


async def test_a_disk_that_is_nearly_full_is_no_room(client: StoreClient, tmp_path: Path) -> None:
    disk = shutil.disk_usage(tmp_path)
    share = disk.free / disk.total
    full = Fullness(client, memory_high=0.8, disk_low=min(share * 1.2, 0.99), disk=tmp_path)
    assert "disk" in await full.look()
    full = Fullness(client, memory_high=0.8, disk_low=share * 0.9, disk=tmp_path)
    assert await full.look() == ""
    # It was full: then more has to be free.
    full.reason = "the disk of its append-only file is nearly full"
    assert "disk" in await full.look()


async def test_a_disk_with_ample_room_is_looked_at_less_often(
    client: StoreClient, tmp_path: Path
) -> None:
    disk = shutil.disk_usage(tmp_path)
    full = Fullness(client, memory_high=0.8, disk_low=disk.free / disk.total / 3, disk=tmp_path)
    assert await full.look() == ""
    full._disk_low = min(disk.free / disk.total * 1.2, 0.99)
    assert [await full.look() for _ in range(4)] == [""] * 4
    for _ in range(2):
        assert "disk" in await full.look()


async def test_the_disk_of_a_store_elsewhere_is_not_looked_at(
    client: StoreClient, tmp_path: Path
) -> None:
    full = Fullness(client, memory_high=0.8, disk_low=0.99, disk=tmp_path / "none")
    assert await full.look() == ""


async def test_what_is_accepted_between_two_looks_counts(
    server: ValkeyServer, client: StoreClient, tmp_path: Path
) -> None:
    full = Fullness(client, memory_high=0.5, disk_low=0, disk=tmp_path / "none")
    server.command("CONFIG", "SET", "maxmemory", str(100 * _MEGABYTE))
    assert await full.look() == ""
    accepted = sum(not full(_MEGABYTE) for _ in range(100))
    assert 40 < accepted < 50
    assert full()
    # None of it is there.
    full.reason = await full.look()
    assert not full(_MEGABYTE)


async def test_tenants_have_shares_only_while_room_is_scarce(
    server: ValkeyServer, client: StoreClient, tmp_path: Path
) -> None:
    full = Fullness(
        client, memory_high=0.5, disk_low=0, disk=tmp_path, tenant_share=0.25, partitions=2
    )
    assert full.share() == 0
    server.command("CONFIG", "SET", "maxmemory", str(80 * _MEGABYTE))
    await full.look()
    assert full.share() == 0
    assert not full(25 * _MEGABYTE)
    assert full.share() == 5 * _MEGABYTE
