"""Messages that need TLS, or need none: what real hosts receive, and what their senders hear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.feedback.projector import Projector
from relay.feedback.report import DsnOptions
from relay.mail.envelope import Envelope, Recipient
from relay.store.codec import NEEDFUL, VERSION
from relay.store.outbox import Outbox
from relay.submission import Submission
from tests.delivery.test_secure import announce, parked, signed, worker_at
from tests.support.authority import Authority
from tests.support.desk import Worker
from tests.support.dns import DnsServer, Zone
from tests.support.mx import EXTENSIONS, Mx
from tests.support.policy_host import Page, policy

PROMISING = (*EXTENSIONS, "REQUIRETLS", "DSN")
PAGES = {"mta-sts.a.test": Page(policy("enforce", "mx.hosts.test"))}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """a.test and b.test at one host, s.test at another: that of the sender."""
    zones = {
        "a.test": Zone(mx=["10 mx.hosts.test."]),
        "b.test": Zone(mx=["10 mx.hosts.test."]),
        "s.test": Zone(mx=["10 sender.hosts.test."]),
        "mx.hosts.test": Zone(a=["127.0.0.1"]),
        "sender.hosts.test": Zone(a=["127.0.0.2"]),
    }
    with DnsServer(zones) as server:
        yield server


async def send(
    worker: Worker,
    *,
    to: str = "u@a.test",
    sender: str = "me@s.test",
    required: bool = True,
    optional: bool = False,
    ret: str = "",
) -> str:
    envelope = Envelope(
        sender, (Recipient(to),), require_tls=required, tls_optional=optional, ret=ret
    )
    content = (b"Subject: x\r\n\r\nsecret body\r\n",)
    id_ = worker.submitter.new_id()
    await worker.submitter.submit(Submission(id=id_, envelope=envelope, content=content))
    return id_


async def report(worker: Worker) -> None:
    """Have the DSNs submitted that are due."""
    outbox = Outbox(worker.client, 0, 1)
    projector = Projector(outbox, worker.submitter, "p", DsnOptions(host="relay.example"))
    while await projector.step():
        pass


async def returned(worker: Worker, status: str, home: Mx) -> bytes:
    """The DSN with that status that the sender's host gets."""
    await worker.until_empty()
    await report(worker)
    await worker.until(lambda: home.taken)
    [dsn] = home.taken
    assert dsn.sender == ""
    assert f"Status: {status}".encode() in dsn.content
    assert b"secret body" not in dsn.content
    return dsn.content


def of_mail(mx: Mx) -> list[str]:
    return [command for command in mx.commands if command.startswith("MAIL")]


async def test_it_is_passed_on_to_a_host_that_is_verified_and_promises_the_same(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    announce(dns, "a.test")
    async with (
        Mx(tls=authority.server("mx.hosts.test"), extensions=PROMISING) as mx,
        worker_at(store_url, dns, authority, mx, pages=PAGES) as worker,
    ):
        await send(worker)
        await worker.until_empty()
        assert len(mx.taken) == 1
        [mail] = of_mail(mx)
        assert " REQUIRETLS" in mail
        await worker.submit("u@a.test")
        await worker.until_empty()
        assert "REQUIRETLS" not in of_mail(mx)[1]
        # The one session is for such messages alone.
        assert mx.connections == 2


@pytest.mark.parametrize(
    ("certificate", "extensions", "status"),
    [
        pytest.param("mx.hosts.test", EXTENSIONS, "5.7.30", id="no promise"),
        pytest.param("other.test", PROMISING, "5.7.10", id="another certificate"),
        pytest.param("", PROMISING, "5.7.10", id="no TLS"),
    ],
)
async def test_it_is_returned_where_no_host_will_do(
    store_url: str,
    authority: Authority,
    dns: DnsServer,
    certificate: str,
    extensions: tuple[str, ...],
    status: str,
) -> None:
    """The domain's other mail goes on, and the DSN keeps the content to itself."""
    tls = authority.server(certificate) if certificate else None
    announce(dns, "a.test")
    pages = {"mta-sts.a.test": Page(policy("testing", "mx.hosts.test"))}
    async with (
        Mx(tls=tls, extensions=extensions) as mx,
        Mx(
            tls=authority.server("sender.hosts.test"),
            extensions=PROMISING,
            host="127.0.0.2",
            port=mx.port,
        ) as home,
        worker_at(store_url, dns, authority, mx, pages=pages) as worker,
    ):
        id_ = await send(worker, ret="FULL")
        await worker.submit("u@a.test", 3)
        await returned(worker, status, home)
        assert await worker.fates(id_) == ["bounced"]
        assert not [one for one in mx.taken if b"secret" in one.content]
        assert len(mx.taken) == 3
        # A handshake that failed left nobody to take leave of.
        assert ("QUIT" in mx.commands) == (certificate != "other.test")
        # The DSN needs the same care (RFC 8689 section 5).
        assert " REQUIRETLS" in of_mail(home)[0]


async def test_it_is_returned_where_nothing_says_whose_the_hosts_are(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    async with (
        Mx(tls=authority.server("mx.hosts.test"), extensions=PROMISING) as mx,
        Mx(tls=authority.server("sender.hosts.test"), host="127.0.0.2", port=mx.port) as home,
        worker_at(store_url, dns, authority, mx, pages={}) as worker,
    ):
        await send(worker)
        await returned(worker, "5.7.30", home)
        assert not mx.connections
        # To a host that does not know REQUIRETLS it goes encrypted all the same.
        assert "REQUIRETLS" not in of_mail(home)[0]
        assert "STARTTLS" in home.commands


async def test_a_dsn_about_it_never_goes_in_the_clear(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    async with (
        Mx() as mx,
        Mx(host="127.0.0.2", port=mx.port) as home,
        worker_at(store_url, dns, authority, mx, pages={}) as worker,
    ):
        await send(worker)
        await worker.until_empty()
        await report(worker)
        assert (await parked(worker, "s.test!encrypted")).startswith("421 4.7.4")
        assert not home.taken


async def test_it_waits_where_it_is_not_sure_that_no_host_will_do(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    announce(dns, "a.test")
    dns.zones["a.test"] = Zone(mx=["10 mx.hosts.test.", "20 gone.hosts.test."])
    dns.zones["gone.hosts.test"] = Zone(a=["127.0.0.3"])
    pages = {"mta-sts.a.test": Page(policy("enforce", "*.hosts.test"))}
    async with (
        Mx(tls=authority.server("mx.hosts.test")) as mx,
        worker_at(store_url, dns, authority, mx, pages=pages) as worker,
    ):
        id_ = await send(worker)
        assert (await parked(worker, "a.test!requiretls")).startswith("421 4.7.30")
        assert await worker.fates(id_) == []
        mx.extensions = PROMISING
        await worker.until_empty()
        assert len(mx.taken) == 1


async def test_it_waits_where_the_policy_cannot_be_had(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    announce(dns, "a.test")
    async with (
        Mx(tls=authority.server("mx.hosts.test"), extensions=PROMISING) as mx,
        worker_at(store_url, dns, authority, mx, pages={}) as worker,
    ):
        await send(worker)
        assert (await parked(worker, "a.test!requiretls")).startswith("451 4.7.30")
        assert not mx.connections


async def test_signed_mx_records_say_whose_the_hosts_are(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    signed(dns)
    async with (
        Mx(tls=authority.server("mx.hosts.test"), extensions=PROMISING) as mx,
        worker_at(store_url, dns, authority, mx, dane=True) as worker,
    ):
        await send(worker)
        await worker.until_empty()
        assert len(mx.taken) == 1
        assert " REQUIRETLS" in of_mail(mx)[0]


@pytest.mark.parametrize("tls", ["stranger", ""])
async def test_what_lets_tls_fail_is_sent_whatever_the_domain_wants(
    store_url: str, authority: Authority, dns: DnsServer, tls: str
) -> None:
    """`TLS-Required: No`: and mail without it still waits."""
    announce(dns, "a.test")
    server = authority.server("mx.hosts.test", state=tls) if tls else None
    async with (
        Mx(tls=server) as mx,
        worker_at(store_url, dns, authority, mx, pages=PAGES) as worker,
    ):
        await worker.submit("u@a.test")
        await parked(worker)
        await send(worker, required=False, optional=True)
        await worker.until(lambda: mx.taken)
        assert [b"secret" in one.content for one in mx.taken] == [True]
        assert ("STARTTLS" in mx.commands) == bool(tls)


async def test_it_is_left_to_newer_processes_by_older_ones(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    """They would send it in the clear."""
    async with Mx() as mx, worker_at(store_url, dns, authority, mx, pages={}) as worker:
        worker.deaf = True
        ids = [await send(worker), await send(worker, required=False)]
        stored = [await worker.queue.stored(f"{one}.0") for one in ids]
        assert [one.delivery.version for one in stored if one] == [NEEDFUL, VERSION]
        assert [one.domain for one in stored if one] == ["a.test", "a.test"]
        await worker.client.read("FLUSHALL")
