"""What a store was first used with: its number of partitions, and the version of its records."""

from __future__ import annotations

from relay.errors import ConfigError
from relay.store.client import StoreClient
from relay.store.codec import VERSION
from relay.store.keys import SCHEMA


async def agree(client: StoreClient, partitions: int) -> None:
    """Note the number of partitions in a new store, and check it in one that was used.

    Raises ConfigError where this process does not fit the store, StoreUnavailable.
    """
    await client.read("HSETNX", SCHEMA, "partitions", partitions)
    await client.read("HSETNX", SCHEMA, "version", VERSION)
    found, version = await client.read("HMGET", SCHEMA, "partitions", "version")
    problems = []
    if int(found) != partitions:
        problems.append(
            f"store.partitions: the store was first used with {int(found)}, not {partitions}: "
            "set it so, or use another store"
        )
    if int(version) > VERSION:
        problems.append(
            f"store.url: its records have version {int(version)}, and this Relay reads up to "
            f"{VERSION}: upgrade this process"
        )
    if problems:
        raise ConfigError(problems)
