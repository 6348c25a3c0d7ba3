"""Whatever one client does, others are served, in bounded memory and time."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from relay.ingress.access import Limits
from relay.mail import answers
from relay.mail.transaction import ReceiverOptions
from tests.support.dialog import Dialog
from tests.support.reception import MESSAGE, Servers, until

#: Seconds that a client may take over a message while another one floods; and as much as it takes
#: over one when nobody does, so many times over: what a busy machine does to both.
SOON, _CALM = 3.0, 100
_PATIENCE = 60.0


@contextlib.asynccontextmanager
async def from_address(address: str, port: int) -> AsyncIterator[Dialog]:
    """A connection from an address of the loopback network, not yet greeted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        yield Dialog(reader, writer)
    finally:
        writer.transport.abort()


async def served(port: int) -> float:
    """Another client gets its message through; the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(_PATIENCE), from_address("127.0.0.99", port) as client:
        assert (await client.reply()).startswith("220 ")
        replies = await client.say(b"EHLO client.example\r\n" + MESSAGE, 5)
        assert replies[-1].startswith("250 2.0.0")
    return time.monotonic() - began


class Others:
    """Another client, which is served as soon as ever."""

    def __init__(self, port: int, calm: float) -> None:
        self._port = port
        self._most = SOON + _CALM * calm

    @classmethod
    async def of(cls, port: int) -> Others:
        """While nobody floods yet."""
        return cls(port, await served(port))

    async def assert_served(self) -> None:
        """It is, meanwhile."""
        assert await served(self._port) <= self._most


async def greeting(address: str, port: int, done: asyncio.Event) -> str:
    """What a client is greeted with; it stays until `done`."""
    async with from_address(address, port) as client:
        async with asyncio.timeout(_PATIENCE):
            line = (await client.reader.readline()).decode()
        await done.wait()
        return line


@pytest.mark.parametrize("addresses", [1, 50])
async def test_a_flood_of_connections_leaves_others_served(
    servers: Servers, addresses: int
) -> None:
    """2,000 at once, from one address or from many."""
    limit = 100 if addresses == 1 else 500
    port = await servers.start(clients=Limits(connections=600, per_client=limit // addresses))
    others = await Others.of(port)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    done = asyncio.Event()
    flood = [
        asyncio.create_task(greeting(f"127.0.1.{n % addresses + 1}", port, done))
        for n in range(2000)
    ]
    # In one loop with 2,000 clients that begin; how soon is seen once they are there.
    await served(port)
    await until(lambda: len(servers.tally.away) == 2000 - limit, _PATIENCE)
    await others.assert_served()
    done.set()
    lines = await asyncio.gather(*flood)
    assert sum(line.startswith("220 ") for line in lines) == limit
    assert sum(line.startswith("421 4.7.0") for line in lines) == 2000 - limit


async def test_slow_senders_are_ended_and_others_served_meanwhile(servers: Servers) -> None:
    port = await servers.start(idle=0.6, clients=Limits(per_client=300))
    others = await Others.of(port)

    async def drip() -> str:
        """A command that never ends, octet by octet."""
        async with from_address("127.0.1.1", port) as client:
            await client.reply()
            answer = asyncio.create_task(client.reply())
            while not answer.done():
                client.writer.write(b"N")
                await asyncio.sleep(0.2)
            return await answer

    slow = [asyncio.create_task(drip()) for _ in range(200)]
    await others.assert_served()
    answers = await asyncio.wait_for(asyncio.gather(*slow), _PATIENCE)
    assert {answer[:9] for answer in answers} == {"421 4.4.2"}
    await others.assert_served()


async def test_a_hundred_thousand_recipients_cost_one_session_only(servers: Servers) -> None:
    port = await servers.start(receiver=ReceiverOptions("relay.example"))
    others = await Others.of(port)

    async def ask() -> None:
        async with from_address("127.0.1.1", port) as client:
            client.writer.write(b"EHLO c.example\r\nMAIL FROM:<a@s.example>\r\n")
            for start in range(0, 100_000, 1000):
                numbers = range(start, start + 1000)
                client.writer.write(b"".join(b"RCPT TO:<u%d@d.example>\r\n" % n for n in numbers))
            await client.rest()

    began = time.monotonic()
    asking = asyncio.create_task(ask())
    await others.assert_served()
    await asking
    assert time.monotonic() - began < _PATIENCE
    refused = Counter(servers.tally.refusals)
    assert refused.keys() == {answers.TOO_MANY_RECIPIENTS, answers.TOO_MANY_COMMANDS}
    assert refused[answers.TOO_MANY_RECIPIENTS] <= 1000


async def test_an_endless_line_costs_no_more_than_a_line(servers: Servers) -> None:
    port = await servers.start()
    others = await Others.of(port)
    async with from_address("127.0.1.1", port) as client:
        await client.reply()
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                client.writer.write(b"x" * 65_536)
                await client.writer.drain()
        await others.assert_served()
    assert [str(reply)[:9] for reply in servers.tally.refusals] == ["500 5.5.2"]
