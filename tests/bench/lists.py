"""What lists and their index cost: `python -m tests.bench.lists [deliveries] [messages]`.

A store gets so many deliveries of as many messages to 1,000 domains: half of them wait for one and
the same moment, half are ready; one in ten is the second tenant's. Then pages of 50 are asked of
it, from the first on and from the middle. What the index takes up is measured on stores of their
own, with so many messages of one recipient and one tag each, with and without it.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Mapping

from relay.console.status import StoreConsole
from relay.mail.envelope import Envelope, Recipient
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import StoreClient
from relay.store.index import NOTHING, Index, index_of
from relay.store.listing import Wanted, Where
from relay.store.memory import memory
from relay.submission import Submission, Submitter
from tests.support.valkey import STORE_OPTIONS, ValkeyServer

_DOMAINS, _IN_FLIGHT, _PAGES = 1000, 200, 100
_OPTIONS = STORE_OPTIONS | {"appendonly": "no", "slowlog-log-slower-than": "1000"}
_CONTENT = b"Subject: x\r\n\r\nhello\r\n"
_ASKED: Mapping[str, Wanted] = {
    "all": Wanted(),
    "state": Wanted(where=Where.LATER),
    "state, domain": Wanted(where=Where.READY, domain="d7.example"),
    "state, domain, tenant": Wanted(where=Where.READY, domain="d7.example", tenant="b"),
    "domain": Wanted(domain="d7.example"),
    "state later, domain": Wanted(where=Where.LATER, domain="d7.example"),
    "tenant": Wanted(tenant="b"),
    "time": Wanted(since_ms=1, until_ms=1 << 45),
    "recipient": Wanted(recipient="r500@d500.example"),
    "tag": Wanted(tag="spring"),
    "tag, tenant": Wanted(tag="spring", tenant="b"),
}


async def fill(client: StoreClient, count: int, index: Index) -> None:
    """Admit them."""
    options = AdmissionOptions(index=index)
    submitter = Submitter(Admission(client, 1, options), 1, lambda _queues: None)
    later = (int(time.time()) + 30 * 24 * 3600) * 1000
    for at in range(0, count, _IN_FLIGHT):
        said = [
            submitter.submit(
                Submission(
                    id=submitter.new_id(),
                    envelope=Envelope(
                        "s@bench.test", (Recipient(f"r{n}@d{n % _DOMAINS}.example"),)
                    ),
                    content=(_CONTENT,),
                    tenant="b" if n % 10 == 0 else "a",
                    send_at_ms=later if n // _DOMAINS % 2 else 0,
                    tags=("spring",),
                )
            )
            for n in range(at, min(at + _IN_FLIGHT, count))
        ]
        for one in said:
            await one


async def pages(client: StoreClient, server: ValkeyServer, count: int) -> None:
    """Ask for pages, and print what each costs."""
    console = StoreConsole(client, 1)
    print("| by | p50 ms | p99 ms | server CPU ms | longest command ms |")
    for name, wanted in _ASKED.items():
        for place in ("first", "middle"):
            cursor = await _middle(client, wanted, count) if place == "middle" else ""
            if place == "middle" and not cursor:
                continue
            server.command("SLOWLOG", "RESET")
            before, took = _used(server), []
            for _ in range(_PAGES):
                began = time.perf_counter()
                _, cursor = await console.deliveries(wanted, cursor, 50)
                took.append((time.perf_counter() - began) * 1e3)
            cpu = (_used(server) - before) / _PAGES
            slow = max(
                (entry[2] / 1e3 for entry in server.command("SLOWLOG", "GET", 10)), default=1
            )
            took.sort()
            print(
                f"| {name} ({place}) | {took[_PAGES // 2]:.1f} | {took[-2]:.1f} | {cpu:.2f} "
                f"| {slow:.1f} |"
            )


async def _middle(client: StoreClient, wanted: Wanted, count: int) -> str:
    """A cursor as a page in the middle gives it; "" where there is no middle."""
    if wanted.domain or wanted.recipient or wanted.tag:
        return ""
    if wanted.where is Where.LATER:
        [_, score] = await client.read("ZRANGE", "relay:{p00}:later", 0, 0, "WITHSCORES")
        return f"0/{int(float(score))}+{count // 4}"
    name = "relay:{p00}:age"
    [_, score] = await client.read("ZRANGE", name, count // 2, count // 2, "WITHSCORES")
    return f"0/{int(float(score))}+0"


def _used(server: ValkeyServer) -> float:
    """Milliseconds of CPU that the server's main thread has used for commands."""
    stats = server.command("INFO", "commandstats").decode()
    return sum(map(float, re.findall(r"cmdstat_(?!eval|fcall)\S+?usec=(\d+)", stats))) / 1e3


async def memory_of(count: int, *names: str) -> float:
    """Octets that the store uses for so many messages, each."""
    server = ValkeyServer(**_OPTIONS).start()
    client = StoreClient(Address.parse(server.url))
    try:
        await client.start()
        before, _ = await memory(client)
        await fill(client, count, index_of(names))
        after, _ = await memory(client)
        return (after - before) / count
    finally:
        await client.close()
        server.remove()


async def measure(deliveries: int, messages: int) -> None:
    """Print all of it."""
    if messages:
        none = await memory_of(messages)
        print(f"{messages} messages: {none:.0f} octets each without an index")
        for names in (("recipients",), ("tags",), ("recipients", "tags")):
            more = await memory_of(messages, *names) - none
            print(f"  {', '.join(names)}: {more:.0f} more")
    server = ValkeyServer(**_OPTIONS).start()
    client = StoreClient(Address.parse(server.url))
    try:
        await client.start()
        await fill(client, deliveries, Index(recipients=True, tags=True) if messages else NOTHING)
        await pages(client, server, deliveries)
    finally:
        await client.close()
        server.remove()


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    asyncio.run(measure(*(given or [1_000_000, 200_000])))
