"""The lean client, against a real server and against peers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from relay.errors import ConfigError, StoreUnavailable
from relay.store.wire import Address, ConnectionLost, ReplyError, Wire
from tests.support.valkey import BROKER_OPTIONS, ValkeyServer


@pytest.fixture
async def wire(store_url: str) -> AsyncIterator[Wire]:
    wire = await Wire.connect(Address.parse(store_url), timeout=5)
    yield wire
    await wire.close()


@pytest.fixture
def own_server() -> Iterator[ValkeyServer]:
    """A server that the test may stop or kill."""
    server = ValkeyServer(**BROKER_OPTIONS).start()
    yield server
    server.remove()


@asynccontextmanager
async def speaking(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a peer that says `answer` whenever it is told something."""
    talks: set[asyncio.Task[Any] | None] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                writer.write(answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*filter(None, talks))


async def test_answers_come_back_in_the_order_of_the_calls(wire: Wire) -> None:
    calls = [wire.call("SET", "a", 1), wire.call(b"GET", b"a"), wire.call("LRANGE", "none", 0, -1)]
    assert await asyncio.gather(*calls) == [b"OK", b"1", []]
    assert await wire.call("GET", "none") is None
    numbers = await asyncio.gather(*(wire.call("ECHO", number) for number in range(2000)))
    assert numbers == [str(number).encode() for number in range(2000)]


async def test_all_calls_of_one_turn_leave_in_one_write(wire: Wire) -> None:
    writes: list[bytes] = []
    transport = wire._transport
    assert transport is not None
    really_write = transport.write

    class Counting:
        def write(self, data: bytes) -> None:
            writes.append(data)
            really_write(data)

    wire._transport = Counting()  # type: ignore[assignment]
    await asyncio.gather(wire.call("PING"), wire.call("PING"), wire.call("PING"))
    wire._transport = transport
    assert len(writes) == 1


async def test_an_error_reply_fails_its_own_call_only(wire: Wire) -> None:
    bad, good = wire.call("EVALSHA", "0" * 40, 0), wire.call("PING")
    with pytest.raises(ReplyError, match="NOSCRIPT") as caught:
        await bad
    assert caught.value.word == "NOSCRIPT"
    assert await good == b"PONG"


async def test_a_callback_gets_the_answer_without_a_future(wire: Wire) -> None:
    answers: list[Any] = []
    wire.send(answers.append, "ECHO", "x")
    wire.send(answers.append, "NOSUCH")
    assert answers == []
    await wire.call("PING")
    assert answers[0] == b"x"
    assert isinstance(answers[1], ReplyError)


async def test_a_callback_that_fails_costs_the_others_nothing(wire: Wire) -> None:
    reported: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context["message"]))

    def fail(answer: object) -> None:
        raise ValueError(answer)

    wire.send(fail, "PING")
    assert await wire.call("ECHO", "y") == b"y"
    assert len(reported) == 1


async def test_a_cancelled_call_still_takes_its_own_answer(wire: Wire) -> None:
    first, second = wire.call("ECHO", "1"), wire.call("ECHO", "2")
    first.cancel()
    assert await second == b"2"


async def test_all_in_flight_is_lost_when_the_server_is_killed(own_server: ValkeyServer) -> None:
    wire = await Wire.connect(Address.parse(own_server.url), timeout=20)
    calls = [wire.call("BLPOP", "none", 0), wire.call("PING")]
    await asyncio.sleep(0)
    own_server.kill()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionLost, ConnectionLost]
    assert wire.closed
    with pytest.raises(ConnectionLost):
        await wire.call("PING")
    await wire.close()


async def test_a_server_that_stands_still_loses_the_connection(own_server: ValkeyServer) -> None:
    assert own_server.process is not None
    wire = await Wire.connect(Address.parse(own_server.url), timeout=0.2)
    own_server.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(ConnectionLost, match=r"no answer within 0\.2 s"):
            await wire.call("PING")
        with pytest.raises(ConnectionLost):
            await Wire.connect(Address.parse(own_server.url), timeout=0.2)
    finally:
        own_server.process.send_signal(signal.SIGCONT)
    await wire.close()


async def test_what_is_in_flight_is_bounded_in_calls_and_octets(store_url: str) -> None:
    address = Address.parse(store_url)
    wire = await Wire.connect(address, timeout=5, most_calls=3, most_octets=1000)
    kept = [wire.call("PING") for _ in range(3)]
    with pytest.raises(StoreUnavailable, match="in flight"):
        await wire.call("PING")
    assert await asyncio.gather(*kept) == [b"PONG"] * 3
    with pytest.raises(StoreUnavailable, match="in flight"):
        await wire.call("SET", "big", b"x" * 1000)
    assert await wire.call("PING") == b"PONG"
    await wire.close()


async def test_closing_waits_for_what_is_in_flight(store_url: str) -> None:
    wire = await Wire.connect(Address.parse(store_url), timeout=5)
    last = wire.call("ECHO", "last")
    await wire.close()
    assert last.result() == b"last"


def test_uvloop_carries_it_too(store_url: str) -> None:
    async def talk() -> tuple[Any, Any]:
        wire = await Wire.connect(Address.parse(store_url), timeout=5)
        try:
            calls = (wire.call("ECHO", b"x" * (1 << 20)), wire.call("NOSUCH"))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            return answers[0], answers[1]
        finally:
            await wire.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        big, wrong = runner.run(talk())
    assert big == b"x" * (1 << 20)
    assert isinstance(wrong, ReplyError)


async def test_nobody_listening_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost, match="/nowhere"):
        await Wire.connect(Address(path="/nowhere"), timeout=1)


async def test_octets_that_are_not_the_protocol_lose_the_connection() -> None:
    async with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        with pytest.raises(ConnectionLost, match="not the Redis protocol"):
            await Wire.connect(Address(port=port), timeout=2)


async def test_an_answer_that_nobody_asked_for_loses_the_connection() -> None:
    async with speaking(b"+PONG\r\n+PONG\r\n") as port:
        wire = await Wire.connect(Address(port=port), timeout=2)
        with pytest.raises(ConnectionLost):
            await wire.call("GET", "x")
        await wire.close()


async def test_a_server_that_still_loads_is_no_connection_yet() -> None:
    async with speaking(b"-LOADING Redis is loading the dataset in memory\r\n") as port:
        with pytest.raises(ConnectionLost, match="LOADING"):
            await Wire.connect(Address(port=port), timeout=2)


async def test_it_logs_in_and_selects_its_database() -> None:
    server = ValkeyServer(requirepass="secret").start()
    try:
        address = Address(port=server.port, db=3, password="secret")
        wire = await Wire.connect(address, timeout=5)
        await wire.call("SET", "here", 1)
        assert b"db=3" in await wire.call("CLIENT", "INFO")
        await wire.close()
        with pytest.raises(ReplyError, match="WRONGPASS"):
            await Wire.connect(Address(port=server.port, password="wrong"), timeout=5)
    finally:
        server.remove()


async def test_it_speaks_tls_and_trusts_only_the_authority_it_was_given(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    async with speaking(b"+PONG\r\n", context) as port:
        url = f"rediss://127.0.0.1:{port}/0"
        wire = await Wire.connect(Address.parse(f"{url}?ssl_ca_certs={trusted}"), timeout=5)
        await wire.close()
        with pytest.raises(ConnectionLost, match="certificate"):
            await Wire.connect(Address.parse(url), timeout=5)
        wire = await Wire.connect(Address.parse(f"{url}?ssl_cert_reqs=none"), timeout=5)
        await wire.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address()),
        ("redis://h:7000/2", Address(host="h", port=7000, db=2)),
        ("redis://u:p%40ss@h/", Address(host="h", username="u", password="p@ss")),
        ("rediss://:p@[::1]:1/", Address(host="::1", port=1, password="p", tls=True)),
        ("unix:///a/b.sock?db=4&password=p", Address(path="/a/b.sock", db=4, password="p")),
        ("redis+socket:///a.sock?virtual_host=/3", Address(path="/a.sock", db=3)),
        (
            "rediss://h/?ssl_cert_reqs=CERT_NONE&ssl_ca_certs=/ca",
            Address(host="h", tls=True, tls_verify="none", tls_ca_file="/ca"),
        ),
    ],
)
def test_an_address_is_read_from_its_url(url: str, address: Address) -> None:
    assert Address.parse(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "amqp://:hidden@h/",
        "redis://:hidden@h/x",
        "redis://:hidden@h:port",
        "rediss://:hidden@h/?ssl_cert_reqs=maybe",
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Address.parse(url)
    assert "hidden" not in str(caught.value)


def test_an_address_is_shown_without_its_password() -> None:
    address = Address.parse("redis://user:hidden@h:7/1")
    assert f"{address} {address!r}" == "h:7/1 Address(h:7/1)"
