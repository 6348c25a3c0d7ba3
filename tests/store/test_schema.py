"""A store that does not fit is refused with the remedy, before anything is accepted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.errors import ConfigError
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.schema import agree
from tests.support.valkey import STORE_OPTIONS, ValkeyServer


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    server = ValkeyServer(**STORE_OPTIONS).start()
    yield server
    server.remove()


async def problems(server: ValkeyServer, partitions: int = 1, durability: str = "fsync") -> str:
    client = StoreClient(Address.parse(server.url))
    await client.start()
    try:
        await agree(client, partitions, durability)
    except ConfigError as error:
        return str(error)
    finally:
        await client.close()
    return ""


@pytest.fixture(autouse=True)
def as_started(server: ValkeyServer) -> None:
    server.flush()
    for key, value in STORE_OPTIONS.items():
        server.command("CONFIG", "SET", key, value)


async def test_a_store_that_keeps_its_promises_is_taken_and_remembered(
    server: ValkeyServer,
) -> None:
    assert await problems(server) == ""
    assert await problems(server) == ""
    assert server.command("HGET", "relay:schema", "partitions") == b"1"


async def test_another_number_of_partitions_is_refused(server: ValkeyServer) -> None:
    await problems(server, partitions=4)
    assert "first used with 4, not 1" in await problems(server, partitions=1)


async def test_a_store_written_by_a_newer_version_is_refused(server: ValkeyServer) -> None:
    await problems(server)
    server.command("HSET", "relay:schema", "version", 99)
    assert "upgrade this process" in await problems(server)


async def test_a_newer_process_takes_an_older_store_and_leaves_its_version(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await problems(server)
    monkeypatch.setattr("relay.store.schema.VERSION", 99)
    assert await problems(server) == ""
    # Older processes may still write to it: who raises it is the operator.
    assert server.command("HGET", "relay:schema", "version") == b"1"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("appendonly", "no", "appendfsync always"),
        ("appendfsync", "everysec", "appendfsync always"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
async def test_a_store_that_may_lose_what_was_accepted_is_refused(
    server: ValkeyServer, option: str, value: str, said: str
) -> None:
    server.command("CONFIG", "SET", option, value)
    assert said in await problems(server)
    assert server.command("EXISTS", "relay:schema") == 0


async def test_relaxed_durability_takes_a_store_that_syncs_each_second(
    server: ValkeyServer,
) -> None:
    server.command("CONFIG", "SET", "appendfsync", "everysec")
    assert await problems(server, durability="relaxed") == ""
