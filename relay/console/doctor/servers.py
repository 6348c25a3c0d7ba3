"""The store, the broker, the workers and the clock."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

from relay.config import Settings
from relay.console.doctor.check import Check, error, ok, warning
from relay.errors import RelayError
from relay.store.client import ClientOptions, StoreClient
from relay.store.cluster import client_of
from relay.store.doorbell import Doorbell
from relay.store.memory import memory
from relay.store.roster import Roster
from relay.store.schema import misfits, promises
from relay.store.servers import servers_of, single
from relay.store.wire import ReplyError

#: Seconds to wait for the store.
_PATIENCE = 3.0
#: The oldest version of Redis that has all that the scripts use.
_OLDEST = (7, 0)
#: Seconds that a clock may be off before somebody wonders about times in logs and DSNs.
_CLOCK = 2.0


async def servers(settings: Settings) -> AsyncIterator[Check]:
    """All about the store, then the broker."""
    client = client_of(servers_of(settings.store.url), ClientOptions(patience=_PATIENCE))
    try:
        await client.start()
        async for found in store(client, settings):
            yield found
    except (RelayError, ReplyError) as problem:
        remedy = "start it, or set store.url (RELAY_STORE__URL) to where it is"
        yield error("store", f"it gives no good answer: {problem}", remedy)
    finally:
        await client.close()
    yield await broker(settings)


async def store(client: StoreClient, settings: Settings) -> AsyncIterator[Check]:
    """What it is, what it promises, and how much room it has. Raises RelayError, ReplyError."""
    yield await _version(client)
    _, problems = await promises(client, settings.store.durability, settings.store.replicas)
    problems += await misfits(client, settings.store.partitions)
    for problem in problems:
        key, _, text = problem.partition(": ")
        yield error("store", text, f"see {key} in docs/configuration.md")
    if not problems:
        yield ok("store", f"durability {settings.store.durability}, and it evicts nothing")
    yield await _room(client, settings.store.memory_high)
    for found in _disk(Path(settings.data) / "store", settings.store.disk_low):
        yield found
    yield await _clock(client)
    workers = await Roster(client).workers()
    if workers:
        yield ok("workers", f"{workers} reported within 30 seconds")
    else:
        text = "none reported within 30 seconds, so nothing is delivered"
        yield warning("workers", text, "start one: relay worker")


async def broker(settings: Settings) -> Check:
    """Whether it answers."""
    doorbell = Doorbell(single(settings.broker.url))
    try:
        depth = await doorbell.depth()
    except (RelayError, ReplyError) as problem:
        remedy = "start it, or set broker.url (RELAY_BROKER__URL): until then mail waits"
        return error("broker", f"it gives no good answer: {problem}", remedy)
    finally:
        await doorbell.close()
    return ok("broker", f"it answers; {depth} wake-ups wait")


async def _version(client: StoreClient) -> Check:
    [text, *_] = await client.every("INFO", "server")
    fields = dict(re.findall(r"^(\w+):(.*?)\r?$", text.decode("utf-8", "replace"), re.MULTILINE))
    valkey, redis = fields.get("valkey_version", ""), fields.get("redis_version", "0")
    name = f"Valkey {valkey}" if valkey else f"Redis {redis}"
    version = tuple(int(part) for part in re.findall(r"\d+", redis)[:2])
    if version < _OLDEST:
        return error("store", f"{name} is too old", "upgrade it to Redis 7.0 or Valkey, or newer")
    return ok("store", f"{name} answers")


async def _room(client: StoreClient, high: float) -> Check:
    used, most = await memory(client)
    if not most:
        remedy = "set maxmemory there, to half of its machine's memory or less"
        text = "it has no memory limit, so its machine may end it when memory runs out"
        return warning("store", text, remedy)
    share = used / most
    text = f"{share:.0%} of {most >> 20} MiB of memory are used"
    if share >= high:
        remedy = "no messages are accepted (store.memory_high): find what is queued (relay qshape)"
        return error("store", text, remedy)
    if share >= high * 0.75:
        return warning("store", text, f"from {high:.0%} on no messages are accepted")
    return ok("store", text)


def _disk(directory: Path, low: float) -> list[Check]:
    """The disk of the append-only file, where it is on this machine."""
    if not directory.is_dir():
        return []
    disk = shutil.disk_usage(directory)
    free = disk.free / disk.total
    text = f"{free:.0%} of the disk of {directory} are free"
    if free < low:
        remedy = "no messages are accepted (store.disk_low): make room"
        return [error("store", text, remedy)]
    return [ok("store", text)]


async def _clock(client: StoreClient) -> Check:
    began = time.time()
    seconds, micros = await client.read("TIME")
    here = (began + time.time()) / 2
    off = here - (int(seconds) + int(micros) / 1e6)
    text = f"this machine's clock is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'}"
    if abs(off) > _CLOCK:
        remedy = "have both machines synchronize: times in logs, DSNs and headers are off"
        return warning("clock", f"{text} the store's", remedy)
    return ok("clock", f"{text} the store's")
