"""A store as one version of Relay left it, in a file, so that later versions are held to read it.

`python -m tests.support.samples tests/store/samples/v<VERSION>.json` writes one of the present
version, from a store in which there is one of each form. It is done once, when a version is new;
those of older versions stay as they are.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.codec import Flag
from tests.support.queue import MINUTE, New, QueueStore, attempt
from tests.support.valkey import ValkeyServer

SAMPLES = Path(__file__).parents[1] / "store" / "samples"
#: How each type is read whole and written again.
_READ = {
    "string": ("GET", ()),
    "hash": ("HGETALL", ()),
    "zset": ("ZRANGE", (0, -1, "WITHSCORES")),
    "stream": ("XRANGE", ("-", "+")),
}


async def fill(queue: QueueStore) -> dict[str, str]:
    """One of each form; name -> message id."""
    made = {
        "ready": await queue.admitted(New(), content=b"Subject: ready\r\n\r\nhi\r\n"),
        "later": await queue.admitted(
            New(queue="later.example", due_ms=await queue.now() + MINUTE)
        ),
        "held": await queue.admitted(New(queue="held.example")),
        "keyed": await queue.admitted(New(queue="keyed.example"), fingerprint="f", digest="d"),
        "aside": await queue.admitted(New(queue="aside.example", lane="nt1")),
    }
    await queue.hold(f"{made['held']}.0")
    await queue.pause("t:t1", why="a sample")
    await queue.lease("aside.example")
    for name, flags, recipients in (
        ("delivered", Flag(0), ("u@a.example",)),
        ("bounced", Flag.REPORT, ("u@a.example",)),
        ("deferred", Flag.REPORT, ("u@a.example", "v@a.example")),
        ("cancelled", Flag(0), ("u@a.example",)),
        ("leased", Flag.REPORT, ("u@a.example",)),
    ):
        domain = f"{name}.example"
        made[name] = await queue.admitted(New(queue=domain, flags=flags, recipients=recipients))
        if name == "cancelled":
            await queue.cancel(f"{made[name]}.0")
            continue
        [lease] = await queue.lease(domain, holder="old")
        if name == "leased":
            await queue.cancel(f"{made[name]}.0")
        elif name == "deferred":
            said = attempt(fate="deferred")
            await queue.settle(lease, verb="later", outcome=said, slot="1")
        else:
            event = "d" if name == "delivered" else "B"
            await queue.settle(lease, outcome=attempt(fate=name), event=event)
    chunked = queue.new_id()
    await queue.store_chunks(chunked, 2)
    made["chunked"] = await queue.admitted(New(queue="chunked.example"), message=chunked, chunks=2)
    await queue.park("a.example", why="421 4.3.2 later")
    long_ago = await queue.now() - 2 * MINUTE
    old = New(queue="expired.example", flags=Flag.REPORT, expires_ms=long_ago)
    made["expired"] = await queue.admitted(old)
    await queue.promote_all()
    return made


async def dump(client: StoreClient) -> list[dict[str, Any]]:
    """Every key: its name, type, time to live and what is in it."""
    keys = []
    for name in sorted(await client.read("KEYS", "relay:*")):
        kind = (await client.read("TYPE", name)).decode()
        command, rest = _READ[kind]
        value = await client.read(command, name, *rest)
        ttl = int(await client.read("PTTL", name))
        keys.append({"key": name.decode(), "type": kind, "ttl": ttl, "value": _packed(value)})
    return keys


async def restore(client: StoreClient, keys: list[dict[str, Any]]) -> None:
    """The same again; what had a time to live has an hour."""
    for one in keys:
        key, value = one["key"], _unpacked(one["value"])
        if one["type"] == "string":
            await client.read("SET", key, value)
        elif one["type"] == "hash":
            await client.read("HSET", key, *value)
        elif one["type"] == "zset":
            turned = [part for at in range(0, len(value), 2) for part in value[at : at + 2][::-1]]
            await client.read("ZADD", key, *turned)
        else:
            for entry, fields in value:
                await client.read("XADD", key, entry, *fields)
        if one["ttl"] >= 0:
            await client.read("PEXPIRE", key, 3_600_000)


def _packed(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [_packed(part) for part in value]


def _unpacked(value: Any) -> Any:
    return base64.b64decode(value) if isinstance(value, str) else [_unpacked(v) for v in value]


async def _made() -> dict[str, Any]:
    server = ValkeyServer(appendonly="no").start()
    client = StoreClient(Address.parse(server.url))
    try:
        await client.start()
        made = await fill(QueueStore(client))
        return {"messages": made, "keys": await dump(client)}
    finally:
        await client.close()
        server.remove()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(asyncio.run(_made()), indent=1) + "\n")
