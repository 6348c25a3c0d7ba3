"""Case W: ways in: how many messages a second the Python client and the HTTP API take.

The store syncs before each answer. Nothing is delivered: what is measured is acceptance, by
everything that it needs on this machine, the one who asks included.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec
import uvloop

from relay import AsyncRelay, Message
from tests.bench.bare import BareStore, own_cpu_s
from tests.bench.figures import Bar, Case, Figures, Load
from tests.bench.stage import Stage

#: Messages in a request, and connections that send requests.
_BATCH, _CONNECTIONS = 100, 8
#: Single requests are fewer: each is a request of its own.
_SINGLE_SHARE = 4
_PORT = 8925
_PATIENCE = 20.0


def ways_in(stage: Stage) -> Figures:
    """Each way in by itself, on a store that is empty before."""
    store = BareStore(stage.place / "store")
    try:
        store.commands.hset("relay:schema", mapping={"partitions": 1, "version": 1})
        return {"through": True} | uvloop.run(_measured(stage, store))
    finally:
        store.stop()


async def _measured(stage: Stage, store: BareStore) -> Figures:
    load = stage.load
    line = "x" * 70 + "\n"
    text = line * (load.octets // len(line))
    messages = [
        Message(
            from_="Ann <ann@bench.test>",
            to=f"r{number}@d{number % load.domains}.test",
            subject=f"Message {number}",
            text=text,
        )
        for number in range(load.messages)
    ]
    figures: Figures = {}
    async with AsyncRelay(store.url) as relay:
        await relay.submit_many(messages[:2000])
        began, client, server = time.monotonic(), own_cpu_s(), store.cpu_s
        await relay.submit_many(messages)
        seconds = time.monotonic() - began
        figures["client_many_per_s"] = round(len(messages) / seconds)
        figures["client_cpu_us"] = round((own_cpu_s() - client) / len(messages) * 1e6, 1)
        figures["store_cpu_us"] = round((store.cpu_s - server) / len(messages) * 1e6, 1)
        few = messages[: len(messages) // 20]
        began = time.monotonic()
        for message in few:
            await relay.submit(message)
        figures["client_one_by_one_per_s"] = round(len(few) / (time.monotonic() - began))
    api = _serving(store)
    try:
        await _until_ready()
        encoded = [msgspec.json.encode(message) for message in messages]
        batches = [
            _request(
                b"/v1/messages:batch", b'{"messages":[%b]}' % b",".join(encoded[at : at + _BATCH])
            )
            for at in range(0, len(encoded), _BATCH)
        ]
        await _sent(batches[:20])
        began, served = time.monotonic(), _cpu_s(api)
        await _sent(batches)
        seconds = time.monotonic() - began
        figures["http_batch_per_s"] = round(len(messages) / seconds)
        figures["http_batch_cpu_us"] = round((_cpu_s(api) - served) / len(messages) * 1e6, 1)
        single = [_request(b"/v1/messages", one) for one in encoded[::_SINGLE_SHARE]]
        began, served = time.monotonic(), _cpu_s(api)
        await _sent(single)
        seconds = time.monotonic() - began
        figures["http_single_per_s"] = round(len(single) / seconds)
        figures["http_single_cpu_us"] = round((_cpu_s(api) - served) / len(single) * 1e6, 1)
    finally:
        api.terminate()
        api.wait(_PATIENCE)
    return figures


def _serving(store: BareStore) -> subprocess.Popen[bytes]:
    variables = {
        "RELAY_STORE__URL": store.url,
        "RELAY_BROKER__URL": store.url,
        "RELAY_HTTP__LISTEN": f"127.0.0.1:{_PORT}",
        "RELAY_HTTP__NETWORKS": "127.0.0.0/8",
        "RELAY_METRICS__ENABLED": "false",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "relay.cli", "http"],
        env=os.environ | variables,
        stderr=subprocess.DEVNULL,
    )


def _cpu_s(process: subprocess.Popen[bytes]) -> float:
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _until_ready() -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", _PORT)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def _request(path: bytes, body: bytes) -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head % path + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def _sent(requests: Sequence[bytes]) -> None:
    """Send all requests over a few connections, each when the one before it was answered."""
    waiting = iter(requests)
    await asyncio.gather(*(_connection(waiting) for _ in range(_CONNECTIONS)))


async def _connection(waiting: object) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", _PORT)
    for request in waiting:  # type: ignore[attr-defined]
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(size)
        if head[9:10] != b"2" or b"problem" in body:
            raise RuntimeError(f"not accepted: {head!r} {body[:500]!r}")
    writer.close()


CASE = Case(
    name="W",
    title="ways in: the Python client and the HTTP API, 4 KiB, 100 domains",
    load=Load(messages=30_000, domains=100),
    script=ways_in,
    bars=(
        Bar("client_many_per_s", "at least", 10_000),
        Bar("http_batch_per_s", "at least", 5_000),
    ),
    systems=("relay",),
    limit=200.0,
    shown={
        "client_many_per_s": "client, submit_many /s",
        "http_batch_per_s": "HTTP, batches of 100 /s",
        "http_single_per_s": "HTTP, single /s",
    },
)
