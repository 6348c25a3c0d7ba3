import asyncio

import pytest

from relay.ingress.access import Limits
from relay.mail import answers
from relay.mail.transaction import ReceiverOptions
from tests.support.dialog import Dialog, dialog, greeted
from tests.support.reception import ENVELOPE, MESSAGE, Servers, until

MANY = ReceiverOptions("relay.example", commands=1 << 30, errors=1 << 30)


async def test_a_silent_client_is_ended(servers: Servers) -> None:
    port = await servers.start(idle=0.1)
    async with greeted(port) as client:
        assert (await client.reply()).startswith("421 4.4.2")
        assert await client.rest() == b""


async def test_silent_clients_are_ended_also_after_nobody_was_there(servers: Servers) -> None:
    port = await servers.start(idle=0.1)
    for _ in range(2):
        async with greeted(port) as client:
            assert (await client.reply()).startswith("421 4.4.2")
            assert await client.rest() == b""
        await asyncio.sleep(0.2)


async def test_a_client_that_sends_one_line_for_ever_is_ended(servers: Servers) -> None:
    port = await servers.start(idle=0.2)
    async with greeted(port) as client:
        dripping = asyncio.create_task(drip(client, b"N"))
        assert (await client.reply()).startswith("421 4.4.2")
        dripping.cancel()


async def test_content_that_takes_too_long_ends_the_session(servers: Servers) -> None:
    port = await servers.start(message_time=0.2, idle=60)
    async with greeted(port) as client:
        await client.say(ENVELOPE, 3)
        dripping = asyncio.create_task(drip(client, b"x\r\n"))
        assert (await client.reply()).startswith("421 4.4.2")
        dripping.cancel()
    assert servers.submitter.submissions == []


async def test_content_that_comes_too_slowly_ends_the_session(servers: Servers) -> None:
    port = await servers.start(rate_grace=0.2, least_rate=100_000, idle=60)
    async with greeted(port) as client:
        await client.say(ENVELOPE, 3)
        dripping = asyncio.create_task(drip(client, b"x\r\n"))
        assert (await client.reply()).startswith("421 4.4.2")
        dripping.cancel()


async def test_a_client_in_time_is_left_alone_while_its_message_is_admitted(
    servers: Servers,
) -> None:
    servers.submitter.waits = True
    port = await servers.start(idle=0.1, message_time=0.1, rate_grace=0.1)
    async with greeted(port) as client:
        await client.say(MESSAGE, 3)
        async with greeted(port) as other:
            assert (await other.reply()).startswith("421 4.4.2")
        servers.submitter.answer()
        assert (await client.reply()).startswith("250 2.0.0")


async def drip(client: Dialog, octets: bytes) -> None:
    while True:
        client.writer.write(octets)
        await asyncio.sleep(0.02)


async def test_too_many_sessions_are_turned_away(servers: Servers) -> None:
    port = await servers.start(clients=Limits(connections=2))
    async with greeted(port), greeted(port), dialog(port) as third:
        assert (await third.reply()).startswith("421 4.3.2")
        assert await third.rest() == b""
    await until(lambda: servers.tally.sessions == 0)
    async with greeted(port) as client:
        assert await client.say(b"NOOP\r\n") == ["250 2.0.0 Ok"]
    assert len(servers.tally.away) == 1


async def test_too_many_sessions_of_one_address_are_turned_away(servers: Servers) -> None:
    port = await servers.start(clients=Limits(per_client=1))
    async with greeted(port), dialog(port) as second:
        assert (await second.reply()).startswith("421 4.7.0")


async def test_who_connects_too_often_is_turned_away(servers: Servers) -> None:
    port = await servers.start(clients=Limits(connection_rate=2))
    for _ in range(2):
        async with greeted(port):
            pass
    async with dialog(port) as third:
        assert (await third.reply()).startswith("421 4.7.0")
        assert await third.rest() == b""
    assert servers.tally.away == [answers.CONNECTS_TOO_OFTEN]


async def test_who_is_in_no_network_may_connect_less_often(servers: Servers) -> None:
    port = await servers.start(networks=(), clients=Limits(stranger_rate=1))
    async with greeted(port), dialog(port) as second:
        assert (await second.reply()).startswith("421 4.7.0")


async def test_who_sends_too_often_is_to_send_later(servers: Servers) -> None:
    port = await servers.start(clients=Limits(message_rate=1))
    async with greeted(port) as client:
        await client.say(MESSAGE, 4)
        replies = await client.say(ENVELOPE, 3)
        assert [reply[:9] for reply in replies] == ["250 2.1.0", "450 4.7.1", "451 4.5.1"]


async def test_errors_count_over_all_sessions_of_a_client(servers: Servers) -> None:
    port = await servers.start(clients=Limits(error_rate=4))
    for _ in range(2):
        async with greeted(port) as client:
            await client.say(b"FOO\r\nFOO\r\n", 2)
    async with dialog(port) as third:
        assert (await third.reply()).startswith("421 4.7.0")


async def test_content_beyond_the_memory_of_the_process_is_to_be_sent_later(
    servers: Servers,
) -> None:
    servers.submitter.waits = True
    port = await servers.start(memory=100_000)
    content = b"x" * 60_000 + b"\r\n.\r\n"
    async with greeted(port) as first, greeted(port) as second:
        await first.say(ENVELOPE + content, 3)
        await servers.submitter.handed_over.wait()
        assert (await second.say(ENVELOPE + content, 4))[-1].startswith("452 4.3.1")
        servers.submitter.answer()
        assert (await first.reply()).startswith("250 ")
        servers.submitter.handed_over.clear()
        await second.say(ENVELOPE + content, 3)
        await servers.submitter.handed_over.wait()
        servers.submitter.answer()
        assert (await second.reply()).startswith("250 ")


async def test_memory_is_given_back_when_clients_go_away(servers: Servers) -> None:
    port = await servers.start(memory=100_000)
    for _ in range(5):
        async with greeted(port) as client:
            await client.say(ENVELOPE, 3)
            client.writer.write(b"x" * 60_000)
            await client.writer.drain()
            client.writer.transport.abort()
        await until(lambda: servers.tally.sessions == 0)
    async with greeted(port) as client:
        assert (await client.say(ENVELOPE + b"x" * 60_000 + b"\r\n.\r\n", 4))[-1][:3] == "250"


async def flood(client: Dialog) -> None:
    for _ in range(1000):
        client.writer.write(b"HELP\r\n" * 10_000)
        await client.writer.drain()


@pytest.mark.parametrize("waits", [True, False], ids=["while admitting", "replies not taken"])
async def test_what_a_client_can_pile_up_is_bounded(servers: Servers, waits: bool) -> None:
    servers.submitter.waits = waits
    port = await servers.start(receiver=MANY)
    async with greeted(port) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(MESSAGE)
        await servers.submitter.handed_over.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood(client), 1)
        [connection] = servers.running[0]._reception.connections
        assert connection._paused
        assert connection._receiver.pending < 1 << 20
        assert connection._transport.get_write_buffer_size() < 4 << 20
        # Others are served meanwhile.
        async with greeted(port) as other:
            assert await other.say(b"NOOP\r\n") == ["250 2.0.0 Ok"]
        client.writer.transport.abort()


async def test_stopping_ends_quiet_sessions_at_once_and_others_after_their_message(
    servers: Servers,
) -> None:
    servers.submitter.waits = True
    port = await servers.start()
    [server] = servers.running
    async with greeted(port) as quiet, greeted(port) as admitting, greeted(port) as writing:
        await admitting.say(MESSAGE, 3)
        await writing.say(ENVELOPE, 3)
        await servers.submitter.handed_over.wait()
        stopping = asyncio.create_task(server.stop(10))
        assert (await quiet.reply()).startswith("421 4.3.2")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        servers.submitter.waits = False
        assert (await writing.say(b"x\r\n.\r\n", 2))[0].startswith("250 2.0.0 Ok: queued")
        servers.submitter.answer()
        assert (await admitting.reply()).startswith("250 2.0.0 Ok: queued")
        assert (await admitting.reply()).startswith("421 4.3.2")
        await asyncio.wait_for(stopping, 5)
    assert len(servers.tally.messages) == 2


async def test_stopping_takes_no_longer_than_its_grace(servers: Servers) -> None:
    servers.submitter.waits = True
    port = await servers.start()
    [server] = servers.running
    async with greeted(port) as admitting, greeted(port) as writing:
        await admitting.say(MESSAGE, 3)
        await writing.say(ENVELOPE, 3)
        await servers.submitter.handed_over.wait()
        await asyncio.wait_for(server.stop(0.1), 5)
        assert (await writing.reply()).startswith("421 4.3.2")
    # The message may still become durable: it was handed over.
    servers.submitter.answer()
    await until(lambda: len(servers.tally.messages) == 1)
