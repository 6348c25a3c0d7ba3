"""A store as one version of Relay left it, in a file, so that later versions are held to read it.

`python -m tests.support.samples tests/store/samples/v<NEEDFUL>.json` writes one of the present
version, from a store in which there is one of each form (tests/support/forms.py). It is done once,
when a version is new; those that are there stay as they are. A form that comes without a new
version has a file beside them: `v<NEEDFUL>-<form>.json`.
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
from tests.support.forms import fill
from tests.support.valkey import STORE_OPTIONS, ValkeyServer

SAMPLES = Path(__file__).parents[1] / "store" / "samples"
#: How each type is read whole and written again.
_READ = {
    "string": ("GET", ()),
    "hash": ("HGETALL", ()),
    "zset": ("ZRANGE", (0, -1, "WITHSCORES")),
    "stream": ("XRANGE", ("-", "+")),
}


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
    server = ValkeyServer(**STORE_OPTIONS).start()
    client = StoreClient(Address.parse(server.url))
    try:
        await client.start()
        made = await fill(client)
        return {"messages": made, "keys": await dump(client)}
    finally:
        await client.close()
        server.remove()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(asyncio.run(_made()), indent=1) + "\n")
