"""The client that repeats, against servers that vanish, stand still, are full or read-only."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from relay.errors import StoreFull, StoreUnavailable
from relay.store.address import Address
from relay.store.client import ClientOptions, StoreClient
from relay.store.script import Script
from relay.store.wire import ReplyError
from tests.support.valkey import BROKER_OPTIONS, ValkeyServer

COUNT = Script("count", "#!lua\nreturn {redis.call('INCR', KEYS[1]), ARGV[1]}")
FREE = Script("free", "#!lua flags=allow-oom\nreturn redis.call('INCR', KEYS[1])")


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server that the test may stop or kill."""
    server = ValkeyServer(**BROKER_OPTIONS).start()
    yield server
    server.remove()


@asynccontextmanager
async def client_of(server: ValkeyServer, **options: float) -> AsyncIterator[StoreClient]:
    chosen = ClientOptions(**options)  # type: ignore[arg-type]
    client = StoreClient(Address.parse(server.url), chosen)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def test_a_script_that_the_server_lacks_is_sent_whole(store_server: ValkeyServer) -> None:
    store_server.flush()
    async with client_of(store_server) as client:
        answers = await asyncio.gather(*(client.call(COUNT, ["n"], ["x"]) for _ in range(20)))
        assert sorted(answers) == [[n, b"x"] for n in range(1, 21)]
        await client.command("SCRIPT", "FLUSH")
        assert await client.call(COUNT, ["n"], ["x"]) == [21, b"x"]


async def test_a_server_killed_and_back_answers_all_that_was_said_meanwhile(
    server: ValkeyServer,
) -> None:
    async with client_of(server) as client:
        await client.call(COUNT, ["n"], ["x"])
        server.kill()
        waiting = [client.call(COUNT, ["n"], [str(n)]) for n in range(50)]
        await asyncio.sleep(0)
        server.start()
        answers = await asyncio.gather(*waiting)
        assert [answer[1] for answer in answers] == [str(n).encode() for n in range(50)]
        assert client.connected


async def test_a_call_ends_when_its_patience_does(server: ValkeyServer) -> None:
    async with client_of(server) as client:
        server.kill()
        with pytest.raises(StoreUnavailable):
            await client.call(COUNT, ["n"], ["x"], patience=0.2)
        assert client.waiting == 0


async def test_a_command_that_must_not_run_twice_ends_with_its_connection(
    server: ValkeyServer,
) -> None:
    async with client_of(server, timeout=0.3) as client:
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        lost = client.command("INCR", "n")
        repeated = client.read("GET", "n")
        with pytest.raises(StoreUnavailable):
            await lost
        server.process.send_signal(signal.SIGCONT)
        assert await repeated in (None, b"1")


async def test_a_full_store_says_so_and_finishing_scripts_still_run(server: ValkeyServer) -> None:
    async with client_of(server) as client:
        await client.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreFull):
            await client.call(COUNT, ["n"], ["x"])
        assert await client.call(FREE, ["n"]) == 1
        assert await client.call(FREE, ["n"]) == 2


async def test_a_replica_is_asked_again_until_it_is_the_primary(server: ValkeyServer) -> None:
    async with client_of(server) as client:
        await client.command("REPLICAOF", "127.0.0.1", "1")
        call = client.call(COUNT, ["n"], ["x"])
        done, _ = await asyncio.wait([call], timeout=0.2)
        assert not done
        server.command("REPLICAOF", "NO", "ONE")
        assert await call == [1, b"x"]


async def test_a_wrong_argument_is_no_outage(store_url: str, store_server: ValkeyServer) -> None:
    async with client_of(store_server) as client:
        await client.command("SET", "n", "words")
        with pytest.raises(ReplyError, match="not an integer"):
            await client.call(COUNT, ["n"], ["x"])


async def test_what_waits_for_the_store_is_bounded(server: ValkeyServer) -> None:
    async with client_of(server, most_calls=5, most_octets=10_000) as client:
        server.kill()
        await asyncio.wait([client.command("PING")])
        calls = [client.call(COUNT, ["n"], ["x"]) for _ in range(8)]
        done, waiting = await asyncio.wait(calls, timeout=0.1)
        assert (len(done), len(waiting)) == (3, 5)
        assert all(isinstance(call.exception(), StoreUnavailable) for call in done)
        large = client.call(COUNT, ["n"], ["x" * 20_000])
        with pytest.raises(StoreUnavailable):
            await large
        server.start()
        assert len(await asyncio.gather(*waiting)) == 5


async def test_the_time_and_the_repeats_of_each_call_are_told(server: ValkeyServer) -> None:
    heard: list[tuple[str, float, int]] = []
    client = StoreClient(
        Address.parse(server.url),
        on_answer=lambda name, took, again: heard.append((name, took, again)),
    )
    await client.start()
    await client.call(COUNT, ["n"], ["x"])
    server.kill()
    call = client.call(COUNT, ["n"], ["x"])
    server.start()
    await call
    await client.close()
    assert [(name, again > 0) for name, _, again in heard] == [("count", False), ("count", True)]
    assert all(0 < took < 30 for _, took, _ in heard)
