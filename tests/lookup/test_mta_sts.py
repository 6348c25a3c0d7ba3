"""Discovering, fetching and keeping policies, with a real nameserver and a real web server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay.errors import StoreUnavailable
from relay.lookup.mta_sts import MtaSts
from relay.lookup.policy_file import NotFetched, PolicyFiles
from relay.lookup.resolver import Resolver, ResolverOptions
from tests.support.authority import Authority
from tests.support.counted import Counted
from tests.support.dns import DnsServer, Zone
from tests.support.policy_host import Page, PolicyHost, policy

HOST = "mta-sts.a.test"
RECORD = "_mta-sts.a.test"


class Clock:
    """Both clocks of what is tested: they run alike."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Shelf:
    """In place of the store's; it can be away."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.seconds = 0
        self.away = False

    async def get(self, domain: str) -> bytes | None:
        if self.away:
            raise StoreUnavailable("away")
        return self.kept.get(domain)

    async def put(self, domain: str, value: bytes, seconds: int) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.kept[domain], self.seconds = value, seconds


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    zones = {
        RECORD: Zone(txt=['"v=spf1 -all"', '"v=STS" "v1; id=1;"'], ttl=60),
        HOST: Zone(a=["127.0.0.1"], ttl=3600),
        "a.test": Zone(),
    }
    with DnsServer(zones) as server:
        yield server


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[PolicyHost]:
    authority = Authority(tmp_path)
    async with PolicyHost(authority.server(HOST)) as server:
        server.pages[HOST] = Page(policy("enforce", "mx.test"))
        yield server


class Stage:
    """All that asks, with its clock."""

    def __init__(self, sts: MtaSts, files: PolicyFiles, clock: Clock) -> None:
        self.sts = sts
        self.files = files
        self.clock = clock

    async def mode(self) -> str:
        """The mode of the policy as it is known now."""
        found = await self.sts.find("a.test")
        return found.policy.mode if found.policy else found.unsure and "unsure"


@asynccontextmanager
async def stage(
    dns: DnsServer,
    web: PolicyHost,
    tmp_path: Path,
    *,
    shelf: Shelf | None = None,
    clock: Clock | None = None,
    refused: str = "",
) -> AsyncIterator[Stage]:
    now = clock or Clock()
    options = ResolverOptions(nameservers=(dns.endpoint,), timeout=0.3, lifetime=0.5)
    resolver = Resolver(options, clock=now)
    files = PolicyFiles(
        resolver,
        lambda _: refused,
        authorities=str(tmp_path / "authority.pem"),
        port=web.port,
        timeout=0.5,
    )
    sts = MtaSts(resolver, files.fetch, shelf, clock=now, wall=now)
    try:
        yield Stage(sts, files, now)
    finally:
        await sts.close()
        await resolver.close()


async def test_a_policy_is_fetched_once_however_many_ask(
    dns: DnsServer, web: PolicyHost, tmp_path: Path
) -> None:
    fetched = Counted("relay_mta_sts_fetches_total", result="fetched")
    async with stage(dns, web, tmp_path) as on:
        assert await asyncio.gather(*(on.mode() for _ in range(20))) == ["enforce"] * 20
        assert web.asked == {HOST: 1}
        assert fetched.more == 1
        on.clock.now += 61
        assert await on.mode() == "enforce"
        assert dns.asked[RECORD, "TXT"] == 2
        assert web.asked[HOST] == 1


async def test_another_id_means_another_policy(
    dns: DnsServer, web: PolicyHost, tmp_path: Path
) -> None:
    async with stage(dns, web, tmp_path) as on:
        assert await on.mode() == "enforce"
        web.pages[HOST] = Page(policy("none"))
        on.clock.now += 61
        assert await on.mode() == "enforce"
        dns.zones[RECORD] = Zone(txt=['"v=STSv1; id=2"'])
        dns.forget()
        on.clock.now += 61
        assert await on.mode() == "none"


@pytest.mark.parametrize(
    "record",
    [
        Zone(rcode="NXDOMAIN"),
        Zone(rcode="SERVFAIL"),
        Zone(silent=frozenset("*")),
        Zone(txt=['"v=STSv1; id=1"', '"v=STSv1; id=2"']),
        Zone(txt=['"v=STSv1; id=2"']),
    ],
    ids=["gone", "broken", "silent", "ambiguous", "new, and cannot be fetched"],
)
async def test_what_was_fetched_holds_whatever_fails_until_its_time_is_over(
    dns: DnsServer, web: PolicyHost, tmp_path: Path, record: Zone
) -> None:
    async with stage(dns, web, tmp_path) as on:
        assert await on.mode() == "enforce"
        dns.zones[RECORD] = record
        dns.forget()
        web.pages.clear()
        for _ in range(8):
            on.clock.now += 10_000
            assert await on.mode() == "enforce"
        on.clock.now += 10_000
        assert await on.mode() in ("", "unsure")


async def test_a_policy_is_fetched_again_in_good_time(
    dns: DnsServer, web: PolicyHost, tmp_path: Path
) -> None:
    async with stage(dns, web, tmp_path) as on:
        for days in range(1, 6):
            assert await on.mode() == "enforce"
            async with asyncio.timeout(5):
                while web.asked[HOST] < days or on.sts._renewing:  # noqa: ASYNC110 - the server has no event
                    await asyncio.sleep(0.01)
            on.clock.now += 60_000


async def test_a_policy_that_cannot_be_fetched_is_asked_for_again_after_a_while(
    dns: DnsServer, web: PolicyHost, tmp_path: Path
) -> None:
    web.pages[HOST] = Page(status=503)
    failed = Counted("relay_mta_sts_fetches_total", result="failed")
    async with stage(dns, web, tmp_path) as on:
        assert await on.mode() == "unsure"
        assert failed.more == 1
        on.clock.now += 61
        assert await on.mode() == "unsure"
        assert web.asked[HOST] == 1
        web.pages[HOST] = Page(policy("enforce", "mx.test"))
        on.clock.now += 300
        assert await on.mode() == "enforce"


async def test_domains_without_a_record_cost_one_question(
    dns: DnsServer, web: PolicyHost, tmp_path: Path
) -> None:
    del dns.zones[RECORD]
    async with stage(dns, web, tmp_path) as on:
        for _ in range(10):
            assert await on.mode() == ""
            on.clock.now += 300
        assert dns.asked[RECORD, "TXT"] == 1
        assert not web.asked


async def test_all_processes_have_what_one_has_fetched(
    dns: DnsServer, web: PolicyHost, tmp_path: Path
) -> None:
    shelf, clock = Shelf(), Clock()
    async with stage(dns, web, tmp_path, shelf=shelf, clock=clock) as on:
        assert await on.mode() == "enforce"
        assert shelf.seconds == 86400
    clock.now += 20_000
    async with stage(dns, web, tmp_path, shelf=shelf, clock=clock) as on:
        assert await on.mode() == "enforce"
        assert web.asked[HOST] == 1
    clock.now += 80_000
    web.pages.clear()
    async with stage(dns, web, tmp_path, shelf=shelf, clock=clock) as on:
        assert await on.mode() == "unsure"
    shelf.kept["a.test"] = b"nonsense"
    async with stage(dns, web, tmp_path, shelf=shelf, clock=clock) as on:
        assert await on.mode() == "unsure"


async def test_a_store_that_is_away_keeps_nobody_from_fetching(
    dns: DnsServer, web: PolicyHost, tmp_path: Path
) -> None:
    shelf = Shelf()
    shelf.away = True
    async with stage(dns, web, tmp_path, shelf=shelf) as on:
        assert await on.mode() == "enforce"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (Page(policy("enforce", "mx.test"), status=302, location=f"https://{HOST}/x"), "302"),
        (Page(status=404), "404"),
        (Page(policy("enforce", "mx.test"), kind="text/html"), "text/plain"),
        (Page(b"x" * 70_000), "65536 octets"),
        (Page(silent=True), "did not answer within 0.5 s"),
    ],
    ids=["a redirect", "nothing", "another type", "too large", "silence"],
)
async def test_what_is_no_plain_answer_is_no_policy(
    dns: DnsServer, web: PolicyHost, tmp_path: Path, page: Page, why: str
) -> None:
    web.pages[HOST] = page
    async with stage(dns, web, tmp_path) as on:
        with pytest.raises(NotFetched, match=why):
            await on.files.fetch("a.test")
        assert web.asked == {HOST: 1}


@pytest.mark.parametrize(
    ("names", "state"), [("x.test", "good"), (HOST, "stranger"), (HOST, "expired")]
)
async def test_the_web_server_must_be_the_domains_own(
    dns: DnsServer, tmp_path: Path, names: str, state: str
) -> None:
    tls = Authority(tmp_path).server(names, state=state)
    async with (
        PolicyHost(tls, {HOST: Page(policy("enforce", "mx.test"))}) as web,
        stage(dns, web, tmp_path) as on,
    ):
        with pytest.raises(NotFetched, match="certificate"):
            await on.files.fetch("a.test")
        assert not web.asked


async def test_a_policy_host_inside_our_network_is_not_connected_to(
    dns: DnsServer, web: PolicyHost, tmp_path: Path
) -> None:
    async with stage(dns, web, tmp_path, refused="loopback") as on:
        with pytest.raises(NotFetched, match="no address that may be connected to"):
            await on.files.fetch("a.test")
        assert not web.asked
