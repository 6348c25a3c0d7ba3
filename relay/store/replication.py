"""What durability `replicated` asks of a store: replicas that acknowledge, and sync as it does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec import structs

from relay import log
from relay.errors import RelayError
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.wire import ReplyError, Wire

_log = log.logger("relay.store")
#: Seconds for looking at one replica.
_PATIENCE = 3.0


async def replication(
    client: StoreClient, settings: Mapping[bytes, bytes], wanted: int
) -> tuple[int, list[str]]:
    """How many replicas to wait for, and what the store lacks for that.

    `settings`: the store's own, empty where it does not tell them; `wanted`: as many as that, or
    where it is 0 all that there are but one, and one at least.
    """
    every = [_replicas(info, client.address) for info in await client.every("INFO", "replication")]
    fewest = min(map(len, every))
    least = int(settings.get(b"min-replicas-to-write", 0))
    count = wanted or max(1, fewest - 1, least)
    problems = []
    if settings and least < count:
        problems.append(
            f"store.durability: replicated, with {count} of its replicas, needs "
            f"`min-replicas-to-write {count}` in the store, so that a primary that was cut off "
            "takes nothing: set it there, or set store.replicas"
        )
    if fewest < count:
        _log.warning("the store has too few replicas now", replicas=fewest, needed=count)
    found = await asyncio.gather(*(_synced(one) for replicas in every for one in replicas))
    problems += [problem for problem in found if problem]
    return count, problems


def _replicas(info: bytes, primary: Address) -> list[Address]:
    """The replicas that are connected to a primary, with its login."""
    found = []
    for line in info.decode().splitlines():
        name, _, text = line.partition(":")
        if name.startswith("slave") and name[5:].isdigit():
            fields = dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)
            if fields.get("state") == "online":
                found.append((fields["ip"], int(fields["port"])))
    return [structs.replace(primary, host=host, port=port, path="") for host, port in found]


async def _synced(address: Address) -> str:
    """What is wrong with a replica, "" for nothing or where it cannot be asked.

    An answer to WAIT leaves a replica after the sync of what it answers for, but only where it
    syncs always: WAITAOF would ask for that, and takes a second of each batch, as replicas tell of
    their syncs once a second.
    """
    try:
        wire = await Wire.connect(address, timeout=_PATIENCE)
        try:
            answer = await wire.call("CONFIG", "GET", "append*")
        finally:
            await wire.close()
    except (RelayError, ReplyError) as error:
        _log.warning("a replica of the store cannot be asked", reason=str(error))
        return ""
    found = dict(zip(answer[::2], answer[1::2], strict=True))
    if found.get(b"appendonly") == b"yes" and found.get(b"appendfsync") == b"always":
        return ""
    return (
        f"store.durability: replicated needs `appendonly yes` and `appendfsync always` in the "
        f"store's replica at {address}: set them there, or choose a lower level"
    )
