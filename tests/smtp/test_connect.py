"""From an address to a session, in the clear and with TLS, and every way in which there is none."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme

from relay.mail.outcome import Failure, Scope
from relay.policy.tls import TlsMode
from relay.smtp.connect import connect
from relay.smtp.options import ConnectOptions, Target, Timeouts
from relay.smtp.session import Session
from tests.smtp.build import CONTENT, message, options, session_with, target
from tests.support.driver import Finished, Recorder
from tests.support.mx import HANG_UP, STALL, Answer, Mx, Taken
from tests.support.ports import free_port
from tests.support.sink import Sink

IMPATIENT = Timeouts(connect=0.3, greeting=0.3, ehlo=0.3, starttls=0.3)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certified(authority: trustme.CA) -> ssl.SSLContext:
    """A server's context with a certificate for mx.example."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("mx.example").configure_cert(context)
    return context


@pytest.fixture
def trust(authority: trustme.CA, tmp_path: Path) -> str:
    """A file of the authority's certificate."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return str(tmp_path / "authority.pem")


async def send_three(session: Session) -> Recorder:
    recorder = Recorder([message(1), message(2), message(3)])
    session.start(recorder)
    await recorder.until_heard(3)
    session.quit()
    await recorder.until_closed()
    assert recorder.heard == [Finished(n, ("message 250 2.0.0 taken",)) for n in (1, 2, 3)]
    return recorder


async def refusal(mx: Mx | Sink, **others: object) -> Failure:
    failure = await connect(target(mx), options(**({"timeouts": IMPATIENT} | others)))
    assert isinstance(failure, Failure)
    return failure


async def test_three_messages_go_over_one_connection() -> None:
    async with Mx() as mx:
        session = await session_with(mx)
        assert session.tls == ""
        await send_three(session)
    assert mx.taken == [Taken("from@r.example", ("a@s.example",), CONTENT)] * 3
    assert mx.connections == 1
    assert mx.commands[-1] == "QUIT"


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.ENCRYPTED, TlsMode.VERIFIED])
async def test_three_messages_go_over_one_connection_with_tls(
    certified: ssl.SSLContext, trust: str, mode: TlsMode
) -> None:
    async with Mx(tls=certified) as mx:
        session = await session_with(mx, tls=mode, authorities=trust)
        assert session.tls == "TLSv1.3"
        assert not session.features.starttls
        await send_three(session)
    assert len(mx.taken) == 3
    assert mx.connections == 1
    assert mx.commands[:3] == ["EHLO relay.example", "STARTTLS", "EHLO relay.example"]


async def test_large_content_goes_through_tls_unchanged(certified: ssl.SSLContext) -> None:
    body = b"".join(b"%d .\r\n.dot\r\n" % n for n in range(200_000))
    async with Mx(tls=certified) as mx:
        recorder = Recorder([message(1, body=body), message(2)])
        session = await session_with(mx)
        session.start(recorder)
        await recorder.until_heard(2)
        session.quit()
        await recorder.until_closed()
    assert [taken.content for taken in mx.taken] == [body, CONTENT]


async def test_tls_is_not_asked_for_where_it_is_switched_off(certified: ssl.SSLContext) -> None:
    async with Mx(tls=certified) as mx:
        session = await session_with(mx, tls=TlsMode.NONE)
        assert session.features.starttls
        await send_three(session)
    assert "STARTTLS" not in mx.commands


@pytest.mark.parametrize(
    "answer", ["454 4.7.0 not now", "501 5.5.4 no", HANG_UP, STALL, "220 go\r\n250 injected"]
)
async def test_where_starttls_fails_the_opportunist_goes_on_in_the_clear(
    certified: ssl.SSLContext, answer: str
) -> None:
    async with Mx({"STARTTLS": answer}, tls=certified) as mx:
        session = await session_with(mx, timeouts=IMPATIENT)
        injected = "injected" in answer
        assert session.tls == ("TLSv1.3" if injected else "")
        await send_three(session)
    assert mx.connections == (1 if injected else 2)
    assert len(mx.taken) == 3


async def test_where_the_handshake_fails_the_opportunist_goes_on_in_the_clear() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    # A certificate of RSA and ciphers that want one of ECDSA: there is none in common.
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA")
    certificate = trustme.CA().issue_cert("mx.example", key_type=trustme.KeyType.RSA)
    certificate.configure_cert(context)
    async with Mx(tls=context) as mx:
        await send_three(await session_with(mx, timeouts=IMPATIENT))
    assert mx.connections == 2


async def test_where_the_host_turns_our_handshake_down_late_it_was_starttls_that_failed() -> None:
    """With TLS 1.3 a host that wants a client certificate complains after our handshake."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("mx.example").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with Mx(tls=context) as mx:
        session = await session_with(mx)
        assert session.tls == ""
        await send_three(session)
    assert mx.connections == 2


@pytest.mark.parametrize("mode", [TlsMode.ENCRYPTED, TlsMode.VERIFIED])
async def test_where_tls_is_required_nothing_is_sent_in_the_clear(mode: TlsMode) -> None:
    async with Mx() as mx:
        failure = await refusal(mx, tls=mode)
        assert (failure.phase, failure.reply.status) == ("starttls", "4.7.4")
        await mx.until(lambda mx: mx.commands == ["EHLO relay.example", "QUIT"])


@pytest.mark.parametrize(
    "name", ["other.example", "127.0.0.1", "", "[127.0.0.1]", ".", "a..b", "x" * 300]
)
async def test_a_certificate_for_another_name_is_not_verified(
    certified: ssl.SSLContext, trust: str, name: str
) -> None:
    async with Mx(tls=certified) as mx:
        wanted = options(tls=TlsMode.VERIFIED, authorities=trust, timeouts=IMPATIENT)
        failure = await connect(target(mx, name), wanted)
        assert isinstance(failure, Failure)
        assert (failure.phase, failure.scope) == ("starttls", Scope.HOST)
        assert mx.connections == 1


async def test_a_name_that_tls_cannot_ask_for_is_no_reason_to_stay_without_a_session(
    certified: ssl.SSLContext,
) -> None:
    async with Mx(tls=certified) as mx:
        session = await connect(target(mx, "a..b"), options())
        assert isinstance(session, Session)
        await send_three(session)


async def test_a_host_that_does_not_know_ehlo_is_greeted_with_helo() -> None:
    async with Mx({"EHLO": "502 5.5.2 what?"}) as mx:
        session = await session_with(mx)
        assert not session.features.esmtp
        await send_three(session)
    assert mx.commands[:3] == ["EHLO relay.example", "HELO relay.example",
                               "MAIL FROM:<from@r.example>"]  # fmt: skip


REFUSALS = [
    pytest.param({"CONNECT": "421 4.3.2 busy"}, "421 4.3.2 busy", "greeting", id="421 greeting"),
    pytest.param({"CONNECT": "450 4.3.2 busy"}, "450 4.3.2 busy", "greeting", id="450 greeting"),
    pytest.param({"CONNECT": "554 5.7.1 no"}, "554 5.7.1 no", "greeting", id="554 greeting"),
    pytest.param({"CONNECT": "554-5.7.1 no\r\n554 5.7.1 never"}, "554 5.7.1 no 5.7.1 never",
                 "greeting", id="554 greeting of two lines"),
    pytest.param({"CONNECT": "250 hello"}, "421 4.5.0 protocol error: 250 hello", "greeting",
                 id="a greeting that is none"),
    pytest.param({"CONNECT": "SSH-2.0-OpenSSH"}, "421 4.5.0 protocol error: Malformed SMTP response"
                 " line: SSH-2.0-OpenSSH", "greeting", id="another protocol"),
    pytest.param({"CONNECT": "220 " + "x" * 9_000}, "421 4.5.0 protocol error: Response too long",
                 "greeting", id="an endless line"),
    pytest.param({"EHLO": "\r\n".join(["250-x"] * 9_000)}, "421 4.5.0 protocol error: Response too"
                 " long", "ehlo", id="endless lines"),
    pytest.param({"CONNECT": HANG_UP}, "421 4.4.2 connection lost in phase greeting", "greeting",
                 id="hangs up"),
    pytest.param({"CONNECT": STALL}, "421 4.4.2 no answer within 0.3 s in phase greeting",
                 "greeting", id="silent"),
    pytest.param({"EHLO": "421 4.3.2 bye"}, "421 4.3.2 bye", "ehlo", id="421 at EHLO"),
    pytest.param({"EHLO": "451 4.3.2 later"}, "451 4.3.2 later", "ehlo", id="451 at EHLO"),
    pytest.param({"EHLO": "554 5.7.1 no", "HELO": "554 5.7.1 no"}, "554 5.7.1 no", "ehlo",
                 id="554 at EHLO and HELO"),
    pytest.param({"EHLO": HANG_UP}, "421 4.4.2 connection lost in phase ehlo", "ehlo",
                 id="hangs up at EHLO"),
    pytest.param({"EHLO": STALL}, "421 4.4.2 no answer within 0.3 s in phase ehlo", "ehlo",
                 id="silent at EHLO"),
    pytest.param({"EHLO": "250 a\r\n250 b"}, "421 4.5.0 protocol error: more than one",
                 "ehlo", id="two replies to EHLO"),
]  # fmt: skip


@pytest.mark.parametrize(("answers", "reply", "phase"), REFUSALS)
async def test_what_the_host_does_becomes_a_failure_of_the_host(
    answers: Mapping[str, Answer], reply: str, phase: str
) -> None:
    async with Mx(answers) as mx:
        failure = await refusal(mx)
    assert (failure.scope, failure.phase) == (Scope.HOST, phase)
    assert str(failure.reply).startswith(reply)


async def test_nobody_listens() -> None:
    failure = await connect(Target("mx.example", "127.0.0.1", free_port()), options())
    assert isinstance(failure, Failure)
    assert (failure.reply.status, failure.phase) == ("4.4.1", "connect")
    assert "refused" in failure.reply.text


async def test_a_host_that_does_not_answer_costs_no_more_than_the_time_for_it() -> None:
    with socket.socket() as full:
        # With a backlog of nothing the kernel drops further SYNs.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        held = [socket.socket() for _ in range(3)]
        for sock in held:
            sock.setblocking(False)
            sock.connect_ex(address)
        failure = await connect(Target("mx", *address), options(timeouts=IMPATIENT))
        for sock in held:
            sock.close()
    assert isinstance(failure, Failure)
    assert (failure.reply.status, failure.phase) == ("4.4.1", "connect")


async def test_an_address_that_is_not_permitted_is_not_connected_to() -> None:
    asked = []

    def permitted(address: str) -> bool:
        asked.append(address)
        return False

    async with Mx() as mx:
        failure = await connect(target(mx), ConnectOptions("relay.example", permitted))
        assert mx.connections == 0
    assert isinstance(failure, Failure)
    assert (failure.reply.code, failure.reply.status, failure.scope) == (451, "4.4.4", Scope.HOST)
    assert asked == ["127.0.0.1"]


async def test_what_counts_is_the_address_really_connected_to() -> None:
    async with Mx() as mx:
        # The kernel takes 0.0.0.0 for this machine.
        wanted = ConnectOptions("relay.example", lambda address: address == "0.0.0.0")
        failure = await connect(Target("mx.example", "0.0.0.0", mx.port), wanted)
    assert isinstance(failure, Failure)
    assert str(failure.reply) == "451 4.4.4 connections to 127.0.0.1 are not permitted"
    assert mx.commands == []


async def test_a_name_in_place_of_an_address_is_not_resolved() -> None:
    failure = await connect(Target("localhost", "localhost", 25), options())
    assert isinstance(failure, Failure)
    assert failure.reply.status == "4.4.1"


async def test_the_local_address_is_the_one_asked_for() -> None:
    async with Mx() as mx:
        session = await session_with(mx, source="127.0.0.9")
        peer = session._transport.get_extra_info("sockname")
        await send_three(session)
    assert peer[0] == "127.0.0.9"


async def test_a_local_address_that_is_not_ours_is_trouble_of_this_machine() -> None:
    async with Mx() as mx:
        failure = await refusal(mx, source="192.0.2.1")
    assert (failure.phase, failure.reply.status) == ("local", "4.3.0")


@pytest.mark.parametrize("at", ["CONNECT", "EHLO", "STARTTLS"])
async def test_cancelled_it_closes_the_connection(certified: ssl.SSLContext, at: str) -> None:
    async with Mx({at: STALL}, tls=certified) as mx:
        attempt = asyncio.create_task(connect(target(mx), options()))
        phase = 0 if at == "CONNECT" else ["EHLO", "STARTTLS"].index(at) + 1
        await mx.until(lambda mx: mx.open == 1 and len(mx.commands) == phase)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await mx.until(lambda mx: mx.open == 0)


async def test_postfix_own_sink_takes_messages() -> None:
    with Sink() as sink:
        session = await session_with(sink)
        recorder = Recorder([message(n, "a@s.example", "b@s.example") for n in range(50)])
        session.start(recorder)
        await recorder.until_heard(50)
        session.quit()
        await recorder.until_closed()
    assert recorder.heard == [Finished(n, ("message 250 2.0.0 Ok",) * 2) for n in range(50)]


@pytest.mark.parametrize(
    ("flags", "heard"),
    [
        (("-r", "MAIL"), "message 450 4.3.0 Error: command failed"),
        (("-r", "RCPT"), "recipient 450 4.3.0 Error: command failed"),
        (("-f", "RCPT"), "recipient 500 5.3.0 Error: command failed"),
        (("-f", "DATA"), "message 500 5.3.0 Error: command failed"),
        (("-f", "."), "message 500 5.3.0 Error: command failed"),
        (("-e",), "message 250 2.0.0 Ok"),
        (("-p", "-8"), "message 250 2.0.0 Ok"),
    ],
)
async def test_postfix_own_sink_refuses(flags: tuple[str, ...], heard: str) -> None:
    with Sink(*flags) as sink:
        session = await session_with(sink)
        recorder = Recorder([message(1), message(2)])
        session.start(recorder)
        await recorder.until_heard(2)
        session.quit()
        await recorder.until_closed()
    assert recorder.heard == [Finished(1, (heard,)), Finished(2, (heard,))]


@pytest.mark.parametrize(("flag", "reply"), [("-q", "421 4.4.2"), ("-Q", "421 ")])
async def test_postfix_own_sink_ends_the_session(flag: str, reply: str) -> None:
    with Sink(flag, "DATA") as sink:
        session = await session_with(sink)
        recorder = Recorder([message(1)])
        session.start(recorder)
        await recorder.until_closed()
    [event] = recorder.heard
    assert not isinstance(event, Finished)
    assert event.failure.startswith(f"host {reply}")
    assert (event.phase, event.in_doubt) == ("data", False)
