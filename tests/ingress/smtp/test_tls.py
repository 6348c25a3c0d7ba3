import ssl
import time
from pathlib import Path

import pytest
import trustme

from relay.errors import ConfigError
from relay.ingress.listener import server_tls
from relay.mail.extensions import Extension
from relay.mail.transaction import ReceiverOptions
from tests.support.dialog import greeted
from tests.support.programs import program
from tests.support.reception import ENVELOPE, MESSAGE, Servers, run, until


async def test_swaks_hands_in_a_message_inside_tls(
    servers: Servers, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    port = await servers.start(tls=True)
    output = await run(
        program("swaks"), "--server", f"127.0.0.1:{port}",
        "--from", "a@s.example", "--to", "b@d.example",
        "--tls", "--tls-verify", "--tls-ca-path", str(tmp_path / "ca.pem"),
        "--tls-sni", "relay.example", "--helo", "client.example",
    )  # fmt: skip
    assert "queued as" in output
    [submission] = servers.submitter.submissions
    assert b" with ESMTPS id " in submission.content[0]
    assert servers.tally.versions == ["TLSv1.3"]


async def test_nothing_injected_before_the_handshake_is_obeyed(
    servers: Servers, trusting: ssl.SSLContext
) -> None:
    port = await servers.start(tls=True)
    async with greeted(port) as client:
        [reply] = await client.say(b"MAIL FROM:<evil@s.example>\r\n")
        [reply] = await client.say(b"RSET\r\n")
        [reply] = await client.say(b"STARTTLS\r\nEHLO evil.example\r\n" + MESSAGE)
        assert reply.startswith("220 ")
        await client.start_tls(trusting, "relay.example")
        # The first reply inside TLS answers the first command inside TLS, and no state is left.
        assert (await client.say(ENVELOPE, 3))[0].startswith("503 5.5.1 Send EHLO")
        # DATA had nothing behind it, so the session goes on.
        [reply] = await client.say(b"EHLO client.example\r\n")
        assert reply == "250 HELP"
        assert (await client.say(MESSAGE, 4))[-1].startswith("250 2.0.0 Ok: queued as")
    assert len(servers.submitter.submissions) == 1
    assert servers.submitter.submissions[0].envelope.sender == "a@s.example"


async def test_a_client_that_sends_no_handshake_is_cut_off(servers: Servers) -> None:
    port = await servers.start(tls=True)
    async with greeted(port) as client:
        await client.say(b"STARTTLS\r\n")
        client.writer.write(b"EHLO client.example\r\n" * 20)
        rest = await client.rest()
        assert b"250" not in rest
    await until(lambda: servers.tally.sessions == 0)
    assert servers.tally.versions == [""]


async def test_a_handshake_that_does_not_come_is_not_waited_for(servers: Servers) -> None:
    port = await servers.start(tls=True, handshake=0.1)
    async with greeted(port) as client:
        await client.say(b"STARTTLS\r\n")
        assert await client.rest() == b""
    await until(lambda: servers.tally.sessions == 0)


async def test_a_message_of_many_reads_comes_in_whole_inside_tls(
    servers: Servers, trusting: ssl.SSLContext
) -> None:
    port = await servers.start(tls=True)
    content = b"\r\n" + b"".join(b"%076d\r\n" % n for n in range(10_000))
    async with greeted(port) as client:
        await client.say(b"STARTTLS\r\n")
        await client.start_tls(trusting, "relay.example")
        await client.say(b"EHLO client.example\r\n")
        assert (await client.say(ENVELOPE + content + b".\r\n", 4))[-1].startswith("250 ")
    assert servers.submitter.contents == [content]


def test_a_certificate_and_its_key_make_tls(tmp_path: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("relay.example")
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issued.private_key_pem.write_to_path(str(key))
    for block in issued.cert_chain_pems:
        block.write_to_path(str(certificate), append=True)
    context = server_tls(str(certificate), str(key))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_files_that_make_no_certificate_are_named(tmp_path: Path, authority: trustme.CA) -> None:
    with pytest.raises(ConfigError) as none:
        server_tls(str(tmp_path / "a.pem"), str(tmp_path / "b.pem"))
    assert [problem.split(":")[0] for problem in none.value.problems] == [
        "smtp.tls.certificate",
        "smtp.tls.key",
    ]
    one, other = authority.issue_cert("one.example"), authority.issue_cert("other.example")
    one.cert_chain_pems[0].write_to_path(str(tmp_path / "a.pem"))
    other.private_key_pem.write_to_path(str(tmp_path / "b.pem"))
    with pytest.raises(ConfigError, match=r"smtp\.tls: no usable certificate"):
        server_tls(str(tmp_path / "a.pem"), str(tmp_path / "b.pem"))


async def test_requiretls_is_offered_and_taken_inside_tls_alone(
    servers: Servers, trusting: ssl.SSLContext
) -> None:
    """`TLS-Required: No` counts where nothing was asked for with MAIL."""
    offering = ReceiverOptions("relay.example", extensions=frozenset({Extension.REQUIRETLS}))
    port = await servers.start(tls=True, receiver=offering)
    asked = MESSAGE.replace(b"MAIL FROM:<a@s.example>", b"MAIL FROM:<a@s.example> REQUIRETLS")
    lax = asked.replace(b"DATA\r\n", b"DATA\r\nTLS-Required: no\r\n")
    assert asked != MESSAGE
    async with greeted(port) as client:
        assert "REQUIRETLS" not in await client.ehlo()
        [reply] = await client.say(b"MAIL FROM:<a@s.example> REQUIRETLS\r\n")
        assert reply.startswith("530 5.7.10")
        await client.say(b"STARTTLS\r\n")
        await client.start_tls(trusting, "relay.example")
        assert "REQUIRETLS" in await client.ehlo()
        for message in (asked, lax, lax.replace(b" REQUIRETLS", b""), MESSAGE):
            assert (await client.say(message, 4))[-1].startswith("250 2.0.0 Ok")
    found = [one.envelope for one in servers.submitter.submissions]
    assert [one.require_tls for one in found] == [True, True, False, False]
    assert [one.tls_optional for one in found] == [False, False, True, False]


async def test_what_is_to_be_delivered_by_a_time_is_taken_so(servers: Servers) -> None:
    offering = ReceiverOptions("relay.example", extensions=frozenset({Extension.DELIVERBY}))
    port = await servers.start(receiver=offering)
    began = time.time()
    async with greeted(port) as client:
        assert "DELIVERBY 60" in await client.ehlo()
        for by in (b"100;R", b"200;NT", b"-5;N"):
            message = MESSAGE.replace(b"<a@s.example>", b"<a@s.example> BY=" + by, 1)
            assert (await client.say(message, 4))[-1].startswith("250 2.0.0 Ok")
    found = servers.submitter.submissions
    assert [one.by_mode for one in found] == ["R", "NT", "N"]
    assert [round(one.by_ms / 1000 - began, -1) for one in found] == [100, 200, -0.0]
    assert [bool(one.expires_at_ms) for one in found] == [True, False, False]
