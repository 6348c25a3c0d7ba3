"""TLS with hosts as domains, hosts and settings want it: what real hosts receive, and what not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.delivery.route import RouteOptions
from relay.delivery.securing import SecurityOptions
from tests.support.authority import Authority, context, tlsa
from tests.support.counted import Counted
from tests.support.desk import Manner, Worker
from tests.support.dns import DnsServer, Zone
from tests.support.mx import Mx
from tests.support.policy_host import Page, PolicyHost, policy


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """Two domains with one MX set: a.test and b.test, at mx.hosts.test."""
    zones = {
        "a.test": Zone(mx=["10 mx.hosts.test."]),
        "b.test": Zone(mx=["10 mx.hosts.test."]),
        "mx.hosts.test": Zone(a=["127.0.0.1"]),
    }
    with DnsServer(zones) as server:
        yield server


def announce(dns: DnsServer, domain: str, id_: str = "1") -> None:
    """The domain has an MTA-STS policy from now on."""
    dns.zones[f"_mta-sts.{domain}"] = Zone(txt=[f'"v=STSv1; id={id_};"'])
    dns.zones[f"mta-sts.{domain}"] = Zone(a=["127.0.0.1"])
    dns.forget()


@asynccontextmanager
async def worker_at(
    store_url: str,
    dns: DnsServer,
    authority: Authority,
    mx: Mx,
    *,
    pages: Mapping[str, Page] | None = None,
    routes: Mapping[str, str] | None = None,
    dane: bool = False,
    **security: Any,
) -> AsyncIterator[Worker]:
    """A worker whose domains lead to the host by the DNS."""
    async with AsyncExitStack() as stack:
        port = 0
        if pages is not None:
            names = [f"mta-sts.{name}" for name in ("a.test", "b.test")]
            tls = authority.server(*names)
            web = await stack.enter_async_context(PolicyHost(tls, dict(pages)))
            port = web.port
        manner = Manner(
            nameservers=(dns.endpoint,),
            routing=RouteOptions(
                port=mx.port,
                allowed=("127.0.0.0/8",),
                security=SecurityOptions(dane=dane, **security),
            ),
            policy_port=port,
            validating=dane,
            authorities=authority.file,
        )
        yield await stack.enter_async_context(Worker(store_url, routes or {}, manner))


async def parked(worker: Worker, queue: str = "a.test") -> str:
    """Wait until the queue rests; why it does. Nothing was attempted."""
    await worker.until(lambda: worker.client.said["park"])
    reason: bytes | None = None
    async with asyncio.timeout(10):
        while reason is None:
            reason = await worker.client.read("HGET", worker.queue.keys.reasons, queue)
    return reason.partition(b" ")[2].decode()


#: What a host shows; what is to be delivered by opportunistic, required and verified TLS.
CERTIFICATES: dict[str, dict[str, Any]] = {
    "good": {"names": ("mx.hosts.test",)},
    "wildcard": {"names": ("*.hosts.test",)},
    "other name": {"names": ("other.hosts.test",)},
    "stranger": {"names": ("mx.hosts.test",), "state": "stranger"},
    "expired": {"names": ("mx.hosts.test",), "state": "expired"},
}
VALID = ("good", "wildcard")


@pytest.mark.parametrize("certificate", [*CERTIFICATES, "none"])
@pytest.mark.parametrize("pattern", ["mx.hosts.test", "*.hosts.test", "other.hosts.test"])
@pytest.mark.parametrize("mode", ["enforce", "testing", "none"])
async def test_a_policy_in_force_is_kept_to(
    store_url: str,
    authority: Authority,
    dns: DnsServer,
    mode: str,
    pattern: str,
    certificate: str,
) -> None:
    """Mail goes where the policy has the host and the certificate is good; without a policy in
    force it goes in any case, and in the clear where there is no TLS."""
    shown = CERTIFICATES.get(certificate, {})
    tls = authority.server(*shown["names"], state=shown.get("state", "good")) if shown else None
    announce(dns, "a.test")
    pages = {"mta-sts.a.test": Page(policy(mode, pattern))}
    fits = pattern != "other.hosts.test" and certificate in VALID
    async with (
        Mx(tls=tls) as mx,
        worker_at(store_url, dns, authority, mx, pages=pages) as worker,
    ):
        [id_] = await worker.submit("u@a.test")
        if mode == "enforce" and not fits:
            why = await parked(worker)
            assert why.partition(" ")[2][:5] in ("4.7.4", "4.7.5"), why
            assert not mx.taken
            assert not [one for one in mx.commands if one.startswith("MAIL")]
            stored = await worker.queue.stored(f"{id_}.0")
            assert stored is not None
            assert stored.attempts == 0
            return
        await worker.until_empty()
        assert len(mx.taken) == 1
        assert ("STARTTLS" in mx.commands) == (tls is not None)


@pytest.mark.parametrize("certificate", [*CERTIFICATES, "none"])
@pytest.mark.parametrize(
    ("level", "good"),
    [
        ("none", [*CERTIFICATES, "none"]),
        ("may", [*CERTIFICATES, "none"]),
        ("encrypt", [*CERTIFICATES]),
        ("verify", [*VALID]),
        ("secure", []),
        ("verified match=other.hosts.test", ["other name", "wildcard"]),
        ("verified match=.hosts.test", [*VALID, "other name"]),
    ],
)
async def test_the_settings_say_how_safe_a_host_must_be(
    store_url: str,
    authority: Authority,
    dns: DnsServer,
    level: str,
    good: list[str],
    certificate: str,
) -> None:
    shown = CERTIFICATES.get(certificate, {})
    tls = authority.server(*shown["names"], state=shown.get("state", "good")) if shown else None
    async with (
        Mx(tls=tls) as mx,
        worker_at(store_url, dns, authority, mx, table={"a.test": level}) as worker,
    ):
        await worker.submit("u@a.test")
        if certificate not in good:
            assert (await parked(worker)).partition(" ")[2][:5] in ("4.7.4", "4.7.5")
            assert not mx.taken
            return
        await worker.until_empty()
        assert len(mx.taken) == 1
        assert ("STARTTLS" in mx.commands) == (tls is not None and level != "none")


async def test_secure_is_for_the_domains_own_name_and_those_below(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    dns.zones["a.test"] = Zone(mx=["10 mx.a.test."])
    dns.zones["mx.a.test"] = Zone(a=["127.0.0.1"])
    tls = authority.server("mx.a.test")
    async with (
        Mx(tls=tls) as mx,
        worker_at(store_url, dns, authority, mx, table={"*.test": "secure"}) as worker,
    ):
        await worker.submit("u@a.test")
        await worker.until_empty()
        assert len(mx.taken) == 1


async def test_a_session_is_not_used_for_mail_that_needs_more_than_it_was_opened_with(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    """Both domains have one site. The host is good enough for one of them alone."""
    tls = authority.server("mx.hosts.test", state="stranger")
    async with (
        Mx(tls=tls) as mx,
        worker_at(store_url, dns, authority, mx, table={"a.test": "verified"}) as worker,
    ):
        ids = await worker.submit("u@b.test", 5)
        await worker.until(lambda: len(mx.taken) == 5)
        await worker.submit("u@a.test", 5)
        assert (await parked(worker)).startswith("421 4.7.5")
        ids += await worker.submit("u@b.test", 5)
        await worker.until(lambda: len(mx.taken) == 10)
        assert {one.recipients for one in mx.taken} == {("u@b.test",)}
        assert [await worker.fates(one) for one in ids] == [["delivered"]] * 10


async def test_a_domain_that_is_not_safe_rests_ever_longer_and_the_site_goes_on(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    async with (
        Mx() as mx,
        worker_at(store_url, dns, authority, mx, table={"a.test": "required"}) as worker,
    ):
        await worker.submit("u@a.test", 3)
        await worker.until(lambda: worker.client.said["park"])
        opened = mx.connections
        started = worker.loop.time()
        await worker.submit("u@b.test", 20)
        await worker.until(lambda: len(mx.taken) == 20)
        assert worker.loop.time() - started < 3
        assert mx.connections - opened < 12


async def test_the_next_host_is_tried_where_one_is_not_safe(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    dns.zones["a.test"] = Zone(mx=["10 bad.hosts.test.", "20 mx.hosts.test."])
    dns.zones["bad.hosts.test"] = Zone(a=["127.0.0.2"])
    announce(dns, "a.test")
    pages = {"mta-sts.a.test": Page(policy("enforce", "*.hosts.test"))}
    async with (
        Mx(tls=authority.server("mx.hosts.test")) as mx,
        Mx(host="127.0.0.2", port=mx.port) as bad,
        worker_at(store_url, dns, authority, mx, pages=pages) as worker,
    ):
        [id_] = await worker.submit("u@a.test")
        await worker.until_empty()
        assert len(mx.taken) == 1
        assert bad.connections == 1
        assert not bad.taken
        [attempt] = [
            field for name, field in (await worker.queue.record(id_)).items() if name[0] == "f"
        ]
        assert b"mta-sts" in attempt


async def test_an_exception_of_the_operator_wins_over_what_a_domain_publishes(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    announce(dns, "a.test")
    pages = {"mta-sts.a.test": Page(policy("enforce", "mx.hosts.test"))}
    table = {"a.test": "opportunistic"}
    async with (
        Mx() as mx,
        worker_at(store_url, dns, authority, mx, pages=pages, table=table) as worker,
    ):
        await worker.submit("u@a.test")
        await worker.until_empty()
        assert len(mx.taken) == 1
        assert not dns.asked["_mta-sts.a.test", "TXT"]


async def test_a_policy_is_shared_and_outlives_those_who_fetched_it(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    """The second worker finds neither the TXT record nor the web server, and keeps to it."""
    announce(dns, "a.test")
    pages = {"mta-sts.a.test": Page(policy("enforce", "mx.hosts.test"))}
    async with Mx(tls=authority.server("mx.hosts.test")) as mx:
        async with worker_at(store_url, dns, authority, mx, pages=pages) as worker:
            await worker.submit("u@a.test")
            await worker.until_empty()
        for gone in ("_mta-sts.a.test", "mta-sts.a.test"):
            del dns.zones[gone]
        dns.forget()
        async with worker_at(store_url, dns, authority, mx, pages={}) as worker:
            await worker.submit("u@a.test")
            await worker.until_empty()
        assert len(mx.taken) == 2
        mx.tls = None
        async with worker_at(store_url, dns, authority, mx, pages={}) as worker:
            await worker.submit("u@a.test")
            assert (await parked(worker)).startswith("421 4.7.4")
        assert len(mx.taken) == 2


async def test_domains_without_policies_cost_one_lookup_each_whatever_is_sent(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    async with (
        Mx() as mx,
        worker_at(store_url, dns, authority, mx, pages={}) as worker,
    ):
        await worker.submit("u@a.test", 50)
        await worker.until_empty()
        await worker.submit("u@a.test", 50)
        await worker.until_empty()
        assert len(mx.taken) == 100
        assert dns.asked["_mta-sts.a.test", "TXT"] == 1


def signed(dns: DnsServer, *records: str) -> None:
    """The zones are signed, and the host has these TLSA records."""
    for name, zone in list(dns.zones.items()):
        dns.zones[name] = Zone(mx=zone.mx, a=zone.a, signed=True)
    if records:
        dns.zones["*._tcp.mx.hosts.test"] = Zone(tlsa=records, signed=True)
    dns.forget()


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("fits", [True, False])
async def test_a_hosts_own_certificate_is_the_one_that_its_records_name(
    store_url: str,
    authority: Authority,
    dns: DnsServer,
    fits: bool,
    selector: int,
    matching: int,
) -> None:
    """DANE-EE: neither its name nor its time nor its authority counts."""
    shown = authority.issue("nobody.test", state="expired")
    named = shown if fits else authority.issue("mx.hosts.test")
    record = tlsa(named.cert_chain_pems[0].bytes(), 3, selector, matching)
    signed(dns, record)
    asked = Counted("relay_dns_queries_total", type="TLSA", result="answer")
    safe = Counted("relay_tls_sessions_total", version="TLSv1.3", level="authenticated")
    async with (
        Mx(tls=context(shown)) as mx,
        worker_at(store_url, dns, authority, mx, dane=True) as worker,
    ):
        await worker.submit("u@a.test")
        if not fits:
            assert (await parked(worker)).startswith("421 4.7.5")
            assert not mx.taken
            assert not safe.more
            return
        await worker.until_empty()
        assert len(mx.taken) == 1
        assert (asked.more, safe.more) == (1, 1)


@pytest.mark.parametrize("record", [(2, 0, 1), (2, 1, 2), (2, 0, 0), (2, 1, 1)])
@pytest.mark.parametrize("name", ["mx.hosts.test", "other.hosts.test"])
async def test_an_authority_that_records_name_vouches_for_the_hosts_name(
    store_url: str, authority: Authority, dns: DnsServer, name: str, record: tuple[int, int, int]
) -> None:
    """DANE-TA: the authority is trusted by nobody else."""
    tls, below = authority.below(name)
    signed(dns, tlsa(below, *record))
    async with Mx(tls=tls) as mx, worker_at(store_url, dns, authority, mx, dane=True) as worker:
        await worker.submit("u@a.test")
        if name != "mx.hosts.test":
            assert (await parked(worker)).startswith("421 4.7.5")
            assert not mx.taken
            return
        await worker.until_empty()
        assert len(mx.taken) == 1


@pytest.mark.parametrize(
    ("records", "tls", "delivered"),
    [
        pytest.param(["1 0 1 " + "ab" * 32], True, True, id="unusable: any certificate"),
        pytest.param(["1 0 1 " + "ab" * 32], False, False, id="unusable: but TLS"),
        pytest.param(["3 1 9 " + "ab" * 20], True, True, id="an unknown digest"),
        pytest.param([], False, True, id="none: in the clear"),
    ],
)
async def test_records_that_name_nothing_still_say_that_there_is_tls(
    store_url: str,
    authority: Authority,
    dns: DnsServer,
    records: list[str],
    tls: bool,
    delivered: bool,
) -> None:
    signed(dns, *records)
    server = authority.server("x.test", state="stranger") if tls else None
    async with Mx(tls=server) as mx, worker_at(store_url, dns, authority, mx, dane=True) as worker:
        await worker.submit("u@a.test")
        if not delivered:
            assert (await parked(worker)).startswith("421 4.7.4")
            return
        await worker.until_empty()
        assert len(mx.taken) == 1


async def test_records_that_cannot_be_had_keep_the_host_from_being_used(
    store_url: str, authority: Authority, dns: DnsServer
) -> None:
    """Whoever suppresses them must not get the mail in the clear (RFC 7672 section 2.1.2)."""
    signed(dns)
    dns.zones["*._tcp.mx.hosts.test"] = Zone(rcode="SERVFAIL")
    async with Mx() as mx, worker_at(store_url, dns, authority, mx, dane=True) as worker:
        await worker.submit("u@a.test")
        why = await parked(worker)
        assert why.startswith("451 4.7.5")
        assert "TLSA" in why
        assert not mx.connections


@pytest.mark.parametrize("unsigned", ["a.test", "mx.hosts.test", "*._tcp.mx.hosts.test"])
async def test_records_that_are_not_signed_all_the_way_do_not_count(
    store_url: str, authority: Authority, dns: DnsServer, unsigned: str
) -> None:
    signed(dns, "3 1 1 " + "ab" * 32)
    zone = dns.zones[unsigned]
    dns.zones[unsigned] = Zone(mx=zone.mx, a=zone.a, tlsa=zone.tlsa)
    async with Mx() as mx, worker_at(store_url, dns, authority, mx, dane=True) as worker:
        await worker.submit("u@a.test")
        await worker.until_empty()
        assert len(mx.taken) == 1


async def test_dane_wins_over_mta_sts(store_url: str, authority: Authority, dns: DnsServer) -> None:
    """The policy has another host and its authority does not vouch for it: the records do."""
    leaf = authority.issue("mx.hosts.test", state="stranger")
    announce(dns, "a.test")
    signed(dns, tlsa(leaf.cert_chain_pems[0].bytes(), 3, 1, 1))
    dns.zones["_mta-sts.a.test"] = Zone(txt=['"v=STSv1; id=1;"'])
    pages = {"mta-sts.a.test": Page(policy("enforce", "elsewhere.test"))}
    async with (
        Mx(tls=context(leaf)) as mx,
        worker_at(store_url, dns, authority, mx, pages=pages, dane=True) as worker,
    ):
        await worker.submit("u@a.test")
        await worker.until_empty()
        assert len(mx.taken) == 1


@pytest.mark.parametrize("level", ["verified", "required", "opportunistic"])
async def test_a_smart_host_has_a_level_by_its_own_name(
    store_url: str, authority: Authority, dns: DnsServer, level: str
) -> None:
    dns.zones["smart.test"] = Zone(a=["127.0.0.1"])
    tls = authority.server("smart.test") if level == "verified" else None
    async with (
        Mx(tls=tls) as mx,
        worker_at(
            store_url,
            dns,
            authority,
            mx,
            table={"smart.test": level},
            routes={"*": f"smart.test:{mx.port}"},
        ) as worker,
    ):
        await worker.submit("u@a.test")
        if level == "required":
            assert (await parked(worker)).startswith("421 4.7.4")
            return
        await worker.until_empty()
        assert len(mx.taken) == 1
