"""Doors: who gets in by which listener, with real clients, and a real store that knows them."""

from __future__ import annotations

import asyncio
import email
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme

from relay import metrics
from relay.errors import ConfigError
from relay.identity import Identity, IdentityOptions
from relay.identity.registry import Registry, Terms
from relay.ingress.door import Door
from relay.ingress.renewal import Certificate
from relay.mail.extensions import ALL
from relay.mail.transaction import ReceiverOptions
from relay.policy.credential import Quotas
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.identity import IdentityStore
from tests.support.dialog import dialog
from tests.support.programs import program
from tests.support.reception import MESSAGE, Servers, run, until

LOOPBACK = (ip_network("127.0.0.0/8"),)
SUBMISSION = ReceiverOptions("relay.example", auth=True, fixes=True, extensions=ALL)
PLAIN = ReceiverOptions("relay.example", extensions=ALL)


class Known:
    """A store with one login, and who asks it."""

    def __init__(self, client: StoreClient) -> None:
        self.registry = Registry(IdentityStore(client))
        self.identity = Identity(IdentityStore(client), IdentityOptions(cache=0))
        self.password = ""

    async def add(self, **terms: Any) -> str:
        given = Terms(**({"tenant": "acme", "senders": ["s.example"]} | terms))
        _, self.password = await self.registry.add("user", "ann", given, by="test")
        return self.password


@pytest.fixture
async def known(store_url: str) -> AsyncIterator[Known]:
    client = StoreClient(Address.parse(store_url))
    await client.start()
    known = Known(client)
    yield known
    known.identity.close()
    await client.close()


@pytest.fixture
def no_certificate_shown() -> Iterator[None]:
    """The gauge of this process's certificate has no series afterwards, as before."""
    yield
    metrics.CERTIFICATE_EXPIRES.clear()


def message() -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Bcc"] = "Ann <a@s.example>", "b@d.example", "c@d.example"
    made["Subject"] = "x"
    made.set_content("hi")
    return made


def door(**changes: Any) -> Door:
    given: dict[str, Any] = {"receiver": SUBMISSION, "networks": ()}
    return Door(**(given | changes))


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit TLS", "STARTTLS"])
async def test_a_client_that_logs_in_submits_for_its_tenant(
    servers: Servers, known: Known, trusting: ssl.SSLContext, implicit: bool
) -> None:
    password = await known.add()
    port = await servers.start(door=door(implicit_tls=implicit), logins=known.identity)
    trusting.check_hostname = False

    def send() -> None:
        if implicit:
            client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", port, context=trusting)
        else:
            client = smtplib.SMTP("127.0.0.1", port)
            client.starttls(context=trusting)
        with client:
            client.login("ann", password)
            client.send_message(message())

    await asyncio.to_thread(send)
    [submission] = servers.submitter.submissions
    assert submission.tenant == "acme"
    assert [one.address for one in submission.envelope.recipients] == ["b@d.example", "c@d.example"]
    content = b"".join(submission.content)
    assert b" with ESMTPSA id " in content
    read = email.message_from_bytes(content)
    assert read["Bcc"] is None
    assert read["Date"] is not None
    assert read["Message-ID"] == f"<{submission.id}@relay.example>"
    assert read.get_payload() == "hi\r\n"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_swaks_logs_in(servers: Servers, known: Known, mechanism: str) -> None:
    password = await known.add()
    port = await servers.start(door=door(), logins=known.identity)
    output = await run(
        program("swaks"), "--server", f"127.0.0.1:{port}", "--tls", "--auth", mechanism,
        "--auth-user", "ann", "--auth-password", password, "--helo", "client.example",
        "--from", "a@s.example", "--to", "b@d.example",
    )  # fmt: skip
    assert "queued as" in output
    assert servers.submitter.submissions[0].tenant == "acme"


async def test_curl_logs_in_by_implicit_tls(servers: Servers, known: Known, tmp_path: Path) -> None:
    password = await known.add()
    port = await servers.start(door=door(implicit_tls=True), logins=known.identity)
    (tmp_path / "message").write_bytes(
        message().as_bytes(policy=message().policy.clone(linesep="\r\n"))
    )
    await run(
        program("curl"), "--silent", "--show-error", "--insecure", "--url",
        f"smtps://127.0.0.1:{port}", "--user", f"ann:{password}", "--mail-from", "a@s.example",
        "--mail-rcpt", "b@d.example", "--upload-file", str(tmp_path / "message"),
    )  # fmt: skip
    assert len(servers.submitter.submissions) == 1


async def test_without_tls_nobody_logs_in_but_where_it_is_allowed(
    servers: Servers, known: Known
) -> None:
    password = await known.add()

    def log_in(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.login("ann", password)

    port = await servers.start(door=door(), logins=known.identity)
    with pytest.raises(smtplib.SMTPNotSupportedError):
        await asyncio.to_thread(log_in, port)
    allowing = await servers.start(door=door(clear_logins=LOOPBACK), logins=known.identity)
    await asyncio.to_thread(log_in, allowing)


async def test_a_wrong_password_a_wrong_sender_and_a_wrong_author_are_refused(
    servers: Servers, known: Known
) -> None:
    password = await known.add()
    port = await servers.start(door=door(clear_logins=LOOPBACK), logins=known.identity)

    def attempt() -> list[int]:
        codes = []
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.ehlo()
            codes.append(client.mail("a@s.example")[0])
            with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
                client.login("ann", "wrong", initial_response_ok=False)
            codes.append(refused.value.smtp_code)
            client.login("ann", password)
            codes.append(client.mail("a@t.example")[0])
            client.mail("a@s.example")
            client.rcpt("b@d.example")
            codes.append(client.data("From: a@t.example\r\n\r\nhi")[0])
        return codes

    assert await asyncio.to_thread(attempt) == [530, 535, 550, 550]
    assert servers.submitter.submissions == []


async def test_a_quota_is_told_at_the_final_dot(servers: Servers, known: Known) -> None:
    password = await known.add(quotas=Quotas(recipients_day=3))
    port = await servers.start(door=door(clear_logins=LOOPBACK), logins=known.identity)

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.login("ann", password)
            client.send_message(message())
            client.send_message(message())

    with pytest.raises(smtplib.SMTPDataError) as refused:
        await asyncio.to_thread(send)
    assert refused.value.smtp_code == 450
    assert b"quota of recipients a day is used up" in bytes(str(refused.value.smtp_error), "utf-8")
    assert len(servers.submitter.submissions) == 1


async def test_a_token_with_another_scope_does_not_send(servers: Servers, known: Known) -> None:
    terms = Terms(scopes=["read"])
    _, token = await known.registry.add("token", "app", terms, by="test")
    port = await servers.start(door=door(clear_logins=LOOPBACK), logins=known.identity)

    def log_in() -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.login("token", token)

    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        await asyncio.to_thread(log_in)
    assert b"lacks the scope send" in bytes(str(refused.value.smtp_error), "utf-8")


async def test_a_client_that_goes_while_it_is_looked_up_leaves_nothing_behind(
    servers: Servers, known: Known
) -> None:
    await known.add()
    port = await servers.start(door=door(clear_logins=LOOPBACK), logins=known.identity)
    async with dialog(port) as client:
        await client.reply()
        await client.say(b"EHLO x\r\n")
        client.writer.write(b"AUTH PLAIN AGFubgB3cm9uZw==\r\nMAIL FROM:<a@s.example>\r\n")
        await client.writer.drain()
        client.reset()
    await until(lambda: servers.tally.sessions == 0)


V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 25])


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", V2])
@pytest.mark.parametrize("cut", [True, False])
async def test_who_is_behind_a_load_balancer_is_who_counts(
    servers: Servers, header: bytes, cut: bool
) -> None:
    allowed = (ip_network("192.0.2.0/24"),)
    port = await servers.start(door=door(receiver=PLAIN, networks=allowed, proxies=LOOPBACK))
    async with dialog(port) as client:
        if cut:
            for octet in header:
                client.writer.write(bytes([octet]))
                await client.writer.drain()
                await asyncio.sleep(0)
            assert (await client.reply()).startswith("220 ")
            await client.say(b"EHLO client.example\r\n" + MESSAGE, 5)
        else:
            await client.say(header + b"EHLO client.example\r\n" + MESSAGE, 6)
    [submission] = servers.submitter.submissions
    assert submission.client == "192.0.2.1"
    assert b"[192.0.2.1]" in submission.content[0]


async def test_a_load_balancer_that_does_not_say_for_whom_is_cut_off(servers: Servers) -> None:
    port = await servers.start(door=door(receiver=PLAIN, networks=LOOPBACK, proxies=LOOPBACK))
    async with dialog(port) as client:
        client.writer.write(b"EHLO client.example\r\n" + MESSAGE)
        assert await client.rest() == b""
    assert servers.submitter.submissions == []


async def test_a_proxy_speaks_for_nobody_unless_it_is_listed(servers: Servers) -> None:
    port = await servers.start(door=door(receiver=PLAIN, networks=(ip_network("192.0.2.0/24"),)))
    async with dialog(port) as client:
        client.writer.write(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\nEHLO x\r\n" + MESSAGE)
        said = await client.rest()
    assert said.endswith(b"554 5.5.0 This is SMTP\r\n")
    assert servers.submitter.submissions == []


def _hello(context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="relay.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return tls, incoming, outgoing


async def test_a_handshake_may_come_in_the_packet_of_the_proxy_header(
    servers: Servers, trusting: ssl.SSLContext
) -> None:
    port = await servers.start(
        door=door(
            receiver=PLAIN, networks=(ip_network("192.0.2.1"),), proxies=LOOPBACK, implicit_tls=True
        )
    )

    def talk() -> bytes:
        tls, incoming, outgoing = _hello(trusting)
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n" + outgoing.read())
            heard = b""
            asked = False
            while b"queued as" not in heard:
                data = connection.recv(65536)
                assert data, heard
                incoming.write(data)
                try:
                    tls.do_handshake()
                    if not asked:
                        tls.write(b"EHLO client.example\r\n" + MESSAGE + b"QUIT\r\n")
                        asked = True
                    while more := tls.read(65536):
                        heard += more
                except ssl.SSLWantReadError:
                    pass
                connection.sendall(outgoing.read())
            return heard

    heard = await asyncio.to_thread(talk)
    assert heard.startswith(b"220 relay.example")
    assert servers.submitter.submissions[0].client == "192.0.2.1"


async def test_xclient_gives_the_rights_of_whom_it_names(servers: Servers) -> None:
    allowed = (ip_network("192.0.2.0/24"),)
    port = await servers.start(door=door(receiver=PLAIN, networks=allowed, xclients=LOOPBACK))
    async with dialog(port) as client:
        await client.reply()
        await client.say(b"EHLO filter.example\r\n")
        envelope = b"MAIL FROM:<a@s.example>\r\nRCPT TO:<b@d.example>\r\n"
        assert (await client.say(envelope, 2))[1].startswith("554 5.7.1")
        assert (await client.say(b"RSET\r\n"))[0].startswith("250")
        [reply] = await client.say(b"XCLIENT ADDR=192.0.2.7 HELO=client.example NAME=c.example\r\n")
        assert reply.startswith("220 ")
        await client.say(b"EHLO client.example\r\n")
        assert (await client.say(MESSAGE, 4))[-1].startswith("250 ")
    assert servers.submitter.submissions[0].client == "192.0.2.7"


def write(authority: trustme.CA, folder: Path, name: str) -> None:
    made = authority.issue_cert(name)
    made.cert_chain_pems[0].write_to_path(str(folder / "chain.pem"))
    made.private_key_pem.write_to_path(str(folder / "key.pem"))


@pytest.mark.usefixtures("no_certificate_shown")
async def test_a_new_certificate_is_used_without_a_restart(
    servers: Servers, authority: trustme.CA, tmp_path: Path
) -> None:
    write(authority, tmp_path, "old.example")
    certificate = Certificate(str(tmp_path / "chain.pem"), str(tmp_path / "key.pem"))
    port = await servers.start(door=door(receiver=PLAIN, implicit_tls=True))
    server = servers.running[-1]
    server.use_certificate(certificate.tls)
    watch = asyncio.create_task(certificate.watch(server.use_certificate, 0.05))

    def served() -> bytes:
        return ssl.get_server_certificate(("127.0.0.1", port)).encode()

    old = await asyncio.to_thread(served)
    (tmp_path / "key.pem").write_text("no key")
    await asyncio.sleep(0.12)
    assert await asyncio.to_thread(served) == old
    write(authority, tmp_path, "new.example")
    deadline = asyncio.get_running_loop().time() + 10
    while await asyncio.to_thread(served) == old:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)
    watch.cancel()


def test_a_certificate_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"smtp\.tls\.certificate: cannot read"):
        Certificate(str(tmp_path / "nothing"), str(tmp_path / "nothing"))
