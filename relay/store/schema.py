"""Whether a store fits: what it was first used with, and what it promises to keep."""

from __future__ import annotations

from collections.abc import Sequence

from relay import log
from relay.errors import ConfigError
from relay.store.client import A_CLUSTER, StoreClient
from relay.store.codec import VERSION
from relay.store.index import Index, index_of
from relay.store.keys import SCHEMA
from relay.store.replication import replication
from relay.store.wire import ReplyError

_log = log.logger("relay.store")
#: What each level of durability asks of `appendfsync`.
_SYNC = {
    "fsync": (b"always",),
    "replicated": (b"always",),
    "relaxed": (b"always", b"everysec"),
}


async def agree(client: StoreClient, partitions: int, durability: str, replicas: int = 0) -> int:
    """Check the store, and note in a new one what it is used with.

    How many replicas an acceptance is to wait for: `replicas`, or where that is 0 all but one; none
    unless the durability is `replicated`. Raises ConfigError with all that does not fit,
    StoreUnavailable.
    """
    wanted, problems = await promises(client, durability, replicas)
    if not problems:
        problems = await _history(client, partitions)
    if problems:
        raise ConfigError(problems)
    return wanted


async def promises(
    client: StoreClient, durability: str, replicas: int = 0
) -> tuple[int, list[str]]:
    """How many replicas an acceptance is to wait for, and what the store lacks for its durability.

    Nothing is noted. Raises ConfigError for a cluster that is not named as one, StoreUnavailable.
    """
    if not client.clustered and b"cluster_enabled:1" in await client.read("INFO", "cluster"):
        raise ConfigError([A_CLUSTER])
    found, problems = await _promises(client, durability)
    if durability != "replicated":
        return 0, problems
    wanted, lacks = await replication(client, found, replicas)
    return wanted, problems + lacks


async def _promises(client: StoreClient, durability: str) -> tuple[dict[bytes, bytes], list[str]]:
    """The store's own settings, and what they lack (docs/configuration.md, `store.durability`).

    Of several primaries the settings of the one that asks for the fewest replicas.
    """
    try:
        answers = await client.every(
            "CONFIG", "GET", "append*", "maxmemory-policy", "min-replicas-to-write"
        )
    except ReplyError as error:
        # Managed servers keep CONFIG to themselves: then it is the operator's word.
        _log.warning("the store does not tell its durability", error=str(error))
        return {}, []
    every = [dict(zip(answer[::2], answer[1::2], strict=True)) for answer in answers]
    problems = list(dict.fromkeys(lack for found in every for lack in _lacks(found, durability)))
    return min(every, key=lambda found: int(found.get(b"min-replicas-to-write", 0))), problems


def _lacks(found: dict[bytes, bytes], durability: str) -> list[str]:
    problems = []
    if found.get(b"appendonly") != b"yes" or found.get(b"appendfsync") not in _SYNC[durability]:
        wanted = _SYNC[durability][-1].decode()
        problems.append(
            f"store.durability: {durability} needs `appendonly yes` and `appendfsync {wanted}` in "
            "the store: set them there, or choose a lower level"
        )
    if found.get(b"maxmemory-policy") != b"noeviction":
        problems.append(
            "store.url: the store would evict messages when it is full: set `maxmemory-policy "
            "noeviction` there"
        )
    return problems


async def _history(client: StoreClient, partitions: int) -> list[str]:
    await client.read("HSETNX", SCHEMA, "partitions", partitions)
    await client.read("HSETNX", SCHEMA, "version", VERSION)
    return await misfits(client, partitions)


async def misfits(client: StoreClient, partitions: int) -> list[str]:
    """What of the store's history does not fit, nothing being noted: for those who only read.

    Raises StoreUnavailable.
    """
    found, version = await client.read("HMGET", SCHEMA, "partitions", "version")
    problems = []
    if int(found or partitions) != partitions:
        problems.append(
            f"store.partitions: the store was first used with {int(found)}, not {partitions}: "
            "set it so, or use another store"
        )
    if int(version or VERSION) > VERSION:
        problems.append(
            f"store.url: its records have version {int(version)}, and this Relay reads up to "
            f"{VERSION}: upgrade this process"
        )
    return problems


async def note_index(client: StoreClient, names: Sequence[str]) -> None:
    """Tell those that have no settings by what messages are to be found (`store.index`).

    Raises StoreUnavailable.
    """
    wanted = ",".join(sorted(set(names)))
    before = (await client.read("HGET", SCHEMA, "index") or b"").decode()
    if wanted != before:
        await client.read("HSET", SCHEMA, "index", wanted)
        _log.warning(
            "store.index is not what it was; processes that have not got it yet must be restarted",
            before=before,
            now=wanted,
        )


async def noted_index(client: StoreClient) -> Index:
    """By what messages are to be found, as a process with settings said it last.

    Raises StoreUnavailable.
    """
    (names,) = await client.read("HMGET", SCHEMA, "index")
    return index_of((names or b"").decode().split(","))


async def partitions_of(client: StoreClient) -> int:
    """How many partitions the store is used with: for clients that have no settings.

    Raises ConfigError where no Relay has used it yet or a newer one has, StoreUnavailable.
    """
    found, version = await client.read("HMGET", SCHEMA, "partitions", "version")
    if found is None:
        raise ConfigError(
            ["url: no Relay has used this store yet: start `relay worker` or `relay smtp` on it"]
        )
    if int(version or VERSION) > VERSION:
        raise ConfigError(
            [f"url: the store has records of version {int(version)}: upgrade this client"]
        )
    return int(found)
