"""What a check-up finds: a real store and broker, a real DNS server, real listeners."""

from __future__ import annotations

import base64
import datetime
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme

from relay.cli.certificates import certificates
from relay.config import Settings
from relay.console.doctor import domain as sender
from relay.console.doctor import outward, servers
from relay.console.doctor.check import Check, checkup
from relay.lookup.answers import LookupFailed
from relay.lookup.plain import PlainLookup
from relay.lookup.resolver import Resolver, ResolverOptions
from relay.policy.endpoint import Endpoint
from relay.store.client import StoreClient
from relay.store.roster import Roster
from tests.support.dns import DnsServer, Zone
from tests.support.ports import free_port

RSA_2048 = base64.b64encode(b"k" * 294).decode()
RSA_1024 = base64.b64encode(b"k" * 162).decode()
ZONES = {
    "out.example": Zone(a=["8.0.0.1"]),
    "1.0.0.8.in-addr.arpa": Zone(ptr=["out.example."]),
    "other.example": Zone(a=["8.0.0.2"]),
    "2.0.0.8.in-addr.arpa": Zone(ptr=["pool-2.provider.example."]),
    "bare.example": Zone(a=["8.0.0.3"]),
    "good.example": Zone(
        mx=["10 mx.good.example."], txt=['"google-site=1"', '"v=spf1 ip4:8.0.0.1 " "-all"']
    ),
    "_dmarc.good.example": Zone(txt=['"v=DMARC1; p=reject; rua=mailto:d@good.example"']),
    "s1._domainkey.good.example": Zone(
        txt=[f'"v=DKIM1; k=rsa; p={RSA_2048[:200]}" "{RSA_2048[200:]}"']
    ),
    "broken.example": Zone(rcode="SERVFAIL"),
}


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with DnsServer(dict(ZONES)) as server:
        yield server


@pytest.fixture
def options(dns: DnsServer) -> ResolverOptions:
    return ResolverOptions(nameservers=(dns.endpoint,), timeout=1.0, lifetime=2.0)


@pytest.fixture
async def resolver(options: ResolverOptions) -> AsyncIterator[Resolver]:
    resolver = Resolver(options)
    yield resolver
    await resolver.close()


@pytest.fixture
async def lookup(options: ResolverOptions) -> PlainLookup:
    return PlainLookup(options)


async def gathered(checks: AsyncIterator[Check]) -> list[Check]:
    return [one async for one in checks]


def of(checks: list[Check], area: str) -> list[str]:
    return [one.level for one in checks if one.area == area]


# The store and the broker.


async def test_a_good_store_passes_but_for_what_it_lacks(
    store_url: str, client: StoreClient
) -> None:
    settings = Settings(store={"url": store_url}, broker={"url": store_url})  # type: ignore[arg-type]
    checks = await gathered(servers.servers(settings))
    assert of(checks, "broker") == ["ok"]
    assert of(checks, "clock") == ["ok"]
    [workers] = [one for one in checks if one.area == "workers"]
    assert (workers.level, workers.remedy) == ("warning", "start one: relay worker")
    assert any("durability fsync, and it evicts nothing" in one.text for one in checks)
    assert any("no memory limit" in one.text or "of memory" in one.text for one in checks)
    await Roster(client, "w1").report({}, {})
    assert of(await gathered(servers.servers(settings)), "workers") == ["ok"]


async def test_a_store_that_promises_less_or_was_split_otherwise_is_an_error(
    store_url: str, client: StoreClient
) -> None:
    await client.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await client.command("HSET", "relay:schema", "partitions", 4)
    settings = Settings(store={"url": store_url})  # type: ignore[arg-type]
    try:
        checks = await gathered(servers.store(client, settings))
    finally:
        await client.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    errors = [one.text for one in checks if one.level == "error"]
    assert len(errors) == 2
    assert "evict" in errors[0]
    assert "first used with 4" in errors[1]


async def test_servers_that_are_not_there_are_errors_and_the_rest_is_looked_at() -> None:
    gone = f"redis://127.0.0.1:{free_port()}/0"
    settings = Settings(store={"url": gone}, broker={"url": gone})  # type: ignore[arg-type]
    checks = await gathered(servers.servers(settings))
    assert [(one.area, one.level) for one in checks] == [("store", "error"), ("broker", "error")]


# What others see.


@pytest.mark.parametrize(
    ("hello", "levels", "says"),
    [
        ("out.example", ["ok"], "its PTR is out.example"),
        ("other.example", ["warning"], "is pool-2.provider.example, not other.example"),
        ("bare.example", ["warning"], "has no PTR"),
        ("gone.example", ["warning"], "has no address"),
        ("localhost", ["warning"], "is no full host name"),
    ],
)
async def test_the_name_in_ehlo_and_the_dns_agree_or_it_is_told(
    resolver: Resolver, lookup: PlainLookup, hello: str, levels: list[str], says: str
) -> None:
    settings = Settings(delivery={"ehlo_name": hello})  # type: ignore[arg-type]
    checks = await gathered(outward.name(settings, resolver, lookup))
    assert of(checks, "dns") == ["ok"]
    assert of(checks, "name") == levels
    assert says in checks[-1].text


async def test_mail_that_leaves_from_another_address_than_the_names_is_told(
    resolver: Resolver, lookup: PlainLookup
) -> None:
    settings = Settings(delivery={"ehlo_name": "out.example", "source_address": "8.0.0.2"})  # type: ignore[arg-type]
    checks = await gathered(outward.name(settings, resolver, lookup))
    assert of(checks, "name") == ["warning", "warning"]


async def test_a_dns_without_answers_is_an_error(lookup: PlainLookup) -> None:
    nobody = Resolver(
        ResolverOptions(nameservers=(f"127.0.0.1:{free_port()}",), timeout=0.2, lifetime=0.4)
    )
    settings = Settings(delivery={"ehlo_name": "out.example"})  # type: ignore[arg-type]
    [check] = await gathered(outward.name(settings, nobody, lookup))
    assert (check.area, check.level) == ("dns", "error")


def test_a_certificate_is_told_before_it_expires(tmp_path: Path) -> None:
    def checked(text: bytes) -> Check:
        path = tmp_path / "chain.pem"
        path.write_bytes(text)
        settings = Settings(smtp={"tls": {"certificate": str(path), "key": str(path)}})  # type: ignore[arg-type]
        [check] = certificates(settings)
        return check

    def lasting(days: float) -> bytes:
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        made = trustme.CA().issue_cert("out.example", not_after=until)
        return made.cert_chain_pems[0].bytes()

    assert checked(lasting(90)).level == "ok"
    assert checked(lasting(3)).level == "warning"
    assert checked(lasting(-1)).level == "error"
    assert checked(b"nothing").level == "error"
    assert certificates(Settings())[0].level == "ok"


@pytest.mark.parametrize(("greeting", "level"), [(b"220 hi\r\n", "ok"), (b"554 no\r\n", "warning")])
async def test_a_host_outside_greets(resolver: Resolver, greeting: bytes, level: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)
                connection.recv(10)

        thread = threading.Thread(target=greet)
        thread.start()
        check = await outward.port(Endpoint("127.0.0.1", server.getsockname()[1]), resolver)
        thread.join()
    assert check.level == level


async def test_a_port_that_is_closed_is_an_error(resolver: Resolver) -> None:
    check = await outward.port(Endpoint("127.0.0.1", free_port()), resolver)
    assert (check.level, "refused" in check.text.lower()) == ("error", True)


# A domain that sends.


async def test_a_domain_that_is_set_up_passes(resolver: Resolver, lookup: PlainLookup) -> None:
    checks = await gathered(sender.domain("good.example", ["s1"], resolver, lookup))
    assert [(one.area, one.level) for one in checks] == [
        ("spf", "ok"),
        ("dkim", "ok"),
        ("dmarc", "ok"),
        ("mx", "ok"),
    ]
    assert checks[0].text == "good.example: v=spf1 ip4:8.0.0.1 -all"


async def test_a_subdomain_has_the_policy_of_the_domain_above(
    resolver: Resolver, lookup: PlainLookup
) -> None:
    checks = await gathered(sender.domain("news.good.example", [], resolver, lookup))
    assert of(checks, "dmarc") == ["ok"]
    assert [one.level for one in checks] == ["error", "warning", "ok", "warning"]


async def test_what_cannot_be_looked_up_is_no_error(
    resolver: Resolver, lookup: PlainLookup
) -> None:
    checks = await gathered(sender.domain("broken.example", [], resolver, lookup))
    assert {one.level for one in checks} == {"warning"}


@pytest.mark.parametrize(
    ("texts", "level"),
    [
        (["v=spf1 include:_spf.example ~all"], "ok"),
        (["v=spf1 redirect=_spf.example"], "ok"),
        (["v=spf1 mx"], "warning"),
        (["v=spf1 +all"], "error"),
        (["v=spf1 -all", "v=spf1 mx -all"], "error"),
        (["v=spf10 -all"], "error"),
    ],
)
def test_an_spf_record_is_judged(texts: list[str], level: str) -> None:
    assert sender.spf("a.example", texts).level == level


@pytest.mark.parametrize(
    ("texts", "level"),
    [
        ([f"v=DKIM1; p={RSA_2048}"], "ok"),
        ([f"k=ed25519; t=y; p={base64.b64encode(b'k' * 32).decode()}"], "ok"),
        ([f"v=DKIM1; p={RSA_1024}"], "warning"),
        (["v=DKIM1; p=MFwwDQ=="], "error"),
        (["v=DKIM1; p="], "error"),
        (["v=DKIM1; p=%%%"], "error"),
        (["hello"], "error"),
        ([f"p={RSA_2048}"] * 2, "error"),
        ([], "error"),
    ],
)
def test_a_dkim_key_is_judged(texts: list[str], level: str) -> None:
    assert sender.dkim("s._domainkey.a.example", texts).level == level


def test_a_key_that_cannot_be_looked_up_is_unknown() -> None:
    assert sender.dkim("s._domainkey.a.example", LookupFailed("SERVFAIL", 0.0)).level == "warning"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("v=DMARC1; p=quarantine", "ok"),
        ("v=DMARC1; p=none", "warning"),
        ("v=DMARC1; rua=mailto:a@a.example", "error"),
    ],
)
def test_a_dmarc_record_is_judged(text: str, level: str) -> None:
    assert sender.dmarc("_dmarc.a.example", [text]).level == level


def test_a_check_up_counts() -> None:
    view = checkup([Check("a", "ok", ""), Check("b", "error", ""), Check("c", "warning", "")])
    assert (view.errors, view.warnings) == (1, 1)
