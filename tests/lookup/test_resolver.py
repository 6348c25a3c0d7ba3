from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from relay.errors import ConfigError
from relay.lookup import wire
from relay.lookup.answers import Addresses, Hosts, LookupFailed, NoAddress, NoSuchDomain, NullMx
from relay.lookup.resolver import Resolver, ResolverOptions, nameservers
from relay.policy.endpoint import Endpoint
from tests.lookup.conftest import MakeResolver, Serve
from tests.support.dns import DnsServer, Zone

MX = Zone(mx=["20 mx2.example.test.", "10 mx1.example.test."], ttl=60)
HOST = Zone(a=["192.0.2.1", "192.0.2.2"], aaaa=["2001:db8::1"])
QUICK = {"timeout": 0.1, "lifetime": 0.5, "tries": 2}


async def until(true: Callable[[], bool]) -> None:
    """Wait until something has happened in the server's thread."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_hosts_come_by_preference(serve: Serve, resolver_of: MakeResolver) -> None:
    found = await resolver_of(serve({"example.test": MX})).mail_hosts("example.test")
    assert isinstance(found, Hosts)
    assert found.mx == ((10, "mx1.example.test"), (20, "mx2.example.test"))
    assert not found.implicit


@pytest.mark.parametrize(
    ("families", "addresses"),
    [
        (("ipv4", "ipv6"), ("192.0.2.1", "192.0.2.2", "2001:db8::1")),
        (("ipv6", "ipv4"), ("2001:db8::1", "192.0.2.1", "192.0.2.2")),
        (("ipv4",), ("192.0.2.1", "192.0.2.2")),
    ],
)
async def test_addresses_come_in_the_order_of_the_families(
    serve: Serve,
    resolver_of: MakeResolver,
    families: tuple[str, ...],
    addresses: tuple[str, ...],
) -> None:
    server = serve({"mx.test": HOST})
    found = await resolver_of(server, families=families).addresses("MX.test.")
    assert isinstance(found, Addresses)
    assert sorted(found.addresses) == sorted(addresses)
    assert [":" in each for each in found.addresses] == [":" in each for each in addresses]
    assert sum(server.asked.values()) == len(families)


DOMAINS = {
    "null.test": Zone(mx=["0 ."]),
    "odd-null.test": Zone(mx=["0 .", "10 mx.test."]),
    "two-nulls.test": Zone(mx=["0 .", "1 ."]),
    "ten-null.test": Zone(mx=["10 ."], a=["192.0.2.1"]),
    "literal.test": Zone(mx=["10 192.0.2.1."], a=["192.0.2.1"]),
    # The server shuffles them, so that of many the best is hardly ever the last by chance.
    "twice.test": Zone(mx=[f"{preference} mx.test." for preference in range(10, 40)]),
    "implicit.test": Zone(a=["192.0.2.1"]),
    "implicit6.test": Zone(aaaa=["2001:db8::1"]),
    "bare.test": Zone(a=["192.0.2.1"], soa=False),
    "nothing.test": Zone(),
    "nxdomain.test": Zone(rcode="NXDOMAIN"),
    "servfail.test": Zone(rcode="SERVFAIL", a=["192.0.2.1"]),
    "refused.test": Zone(rcode="REFUSED", a=["192.0.2.1"]),
    "formerr.test": Zone(rcode="FORMERR"),
    "silent.test": Zone(silent=frozenset("*")),
    "broken-mx.test": Zone(broken=frozenset({"MX"}), a=["192.0.2.1"]),
    "silent-mx.test": Zone(silent=frozenset({"MX"}), a=["192.0.2.1"]),
    "broken-a.test": Zone(broken=frozenset({"A"})),
    "garbage.test": Zone(garbage=b"\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\x40\0\x0a"),
    "loop.test": Zone(garbage=b"\xc0\x1d\0\x0f\0\1\0\0\0\x3c\0\x04\0\x0a\xc0\x1d"),
    "referral.test": Zone(referral=True),
    "alias.test": Zone(cname="target.test."),
    "target.test": Zone(mx=["10 mx.test."]),
    "alias-to-nothing.test": Zone(cname="nxdomain.test."),
    "alias-to-host.test": Zone(cname="implicit.test."),
    "circle.test": Zone(cname="circle.test."),
    "many.test": Zone(mx=[f"10 mx{i:02}.test." for i in range(60)]),
}


@pytest.mark.parametrize(
    ("domain", "mx"),
    [
        ("odd-null.test", ((10, "mx.test"),)),
        ("twice.test", ((10, "mx.test"),)),
        ("implicit.test", ((0, "implicit.test"),)),
        ("implicit6.test", ((0, "implicit6.test"),)),
        ("bare.test", ((0, "bare.test"),)),
        ("alias.test", ((10, "mx.test"),)),
        ("alias-to-host.test", ((0, "alias-to-host.test"),)),
        ("many.test", tuple((10, f"mx{i:02}.test") for i in range(20))),
    ],
)
async def test_a_domain_with_hosts(
    serve: Serve, resolver_of: MakeResolver, domain: str, mx: tuple[tuple[int, str], ...]
) -> None:
    found = await resolver_of(serve(DOMAINS), **QUICK).mail_hosts(domain)
    assert isinstance(found, Hosts)
    assert found.mx == mx
    assert found.implicit == (not DOMAINS[domain].mx and mx[0][0] == 0)


@pytest.mark.parametrize(
    ("domain", "kind"),
    [
        ("null.test", NullMx),
        ("nxdomain.test", NoSuchDomain),
        ("unknown.test", NoSuchDomain),
        ("alias-to-nothing.test", NoSuchDomain),
        ("nothing.test", NoAddress),
        ("two-nulls.test", LookupFailed),
        ("ten-null.test", LookupFailed),
        ("literal.test", LookupFailed),
        ("servfail.test", LookupFailed),
        ("refused.test", LookupFailed),
        ("formerr.test", LookupFailed),
        ("silent.test", LookupFailed),
        ("broken-mx.test", LookupFailed),
        ("silent-mx.test", LookupFailed),
        ("broken-a.test", LookupFailed),
        ("garbage.test", LookupFailed),
        ("loop.test", LookupFailed),
        ("referral.test", LookupFailed),
        ("circle.test", LookupFailed),
    ],
)
async def test_a_domain_without_hosts(
    serve: Serve, resolver_of: MakeResolver, domain: str, kind: type
) -> None:
    found = await resolver_of(serve(DOMAINS), **QUICK).mail_hosts(domain)
    assert isinstance(found, kind)


@pytest.mark.parametrize(
    "name",
    ["", "[192.0.2.1]", "192.0.2.1", "a..test", "bücher.test", "a b.test", "x" * 64 + ".test"],
)
async def test_what_is_no_name_does_not_exist_and_nobody_is_asked(
    serve: Serve, resolver_of: MakeResolver, name: str
) -> None:
    server = serve({"*": MX})
    assert isinstance(await resolver_of(server).mail_hosts(name), NoSuchDomain)
    assert not server.asked


async def test_the_reason_of_a_failure_names_question_server_and_cause(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve(DOMAINS)
    found = await resolver_of(server, **QUICK).mail_hosts("servfail.test")
    assert isinstance(found, LookupFailed)
    assert found.reason == f"servfail.test MX, {server.endpoint}: SERVFAIL"


@pytest.mark.parametrize(
    ("zone", "kind"),
    [
        (Zone(a=["192.0.2.1"], broken=frozenset({"AAAA"})), Addresses),
        (Zone(aaaa=["2001:db8::1"], silent=frozenset({"A"})), Addresses),
        (Zone(broken=frozenset({"AAAA"})), LookupFailed),
        (Zone(mx=["10 mx.test."]), NoAddress),
        (Zone(rcode="NXDOMAIN"), NoSuchDomain),
    ],
)
async def test_one_family_is_enough_and_an_unsure_answer_stays_unsure(
    serve: Serve, resolver_of: MakeResolver, zone: Zone, kind: type
) -> None:
    resolver = resolver_of(serve({"mx.test": zone}), **QUICK)
    assert isinstance(await resolver.addresses("mx.test"), kind)


async def test_an_answer_is_asked_for_once_until_its_time_is_over(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server, clock = serve({"example.test": MX}), Clock()
    resolver = resolver_of(server, clock=clock)
    first = await resolver.mail_hosts("example.test")
    assert first.expires == clock.now + 60
    clock.now += 59
    assert await resolver.mail_hosts("example.test") == first
    assert server.asked["example.test", "MX"] == 1
    clock.now += 1
    await resolver.mail_hosts("example.test")
    assert server.asked["example.test", "MX"] == 2


@pytest.mark.parametrize(
    ("zone", "kept"),
    [
        pytest.param(Zone(mx=["10 mx.test."], ttl=0), 5.0, id="at least this long"),
        pytest.param(Zone(mx=["10 mx.test."], ttl=10**6), 3600.0, id="at most this long"),
        pytest.param(Zone(rcode="NXDOMAIN", ttl=30), 30.0, id="NXDOMAIN: what the SOA says"),
        pytest.param(Zone(rcode="NXDOMAIN", ttl=10**6), 300.0, id="NXDOMAIN: at most this long"),
        pytest.param(Zone(rcode="NXDOMAIN", soa=False), 5.0, id="NXDOMAIN without SOA"),
        pytest.param(Zone(ttl=40), 40.0, id="nothing there: what the SOA says"),
        pytest.param(Zone(rcode="SERVFAIL"), 10.0, id="no usable answer"),
        pytest.param(
            Zone(a=["192.0.2.1"], broken=frozenset({"AAAA"})),
            10.0,
            id="its own address, half known",
        ),
        pytest.param(
            Zone(mx=[], a=["192.0.2.1"], ttl=60, soa=False),
            5.0,
            id="its own address: no MX, for no time that is named",
        ),
    ],
)
async def test_how_long_an_answer_is_kept(
    serve: Serve, resolver_of: MakeResolver, zone: Zone, kept: float
) -> None:
    clock = Clock()
    found = await resolver_of(serve({"x.test": zone}), clock=clock).mail_hosts("x.test")
    assert found.expires - clock.now == kept


async def test_a_family_that_a_host_lacks_does_not_shorten_the_time_of_the_other(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    clock = Clock()
    resolver = resolver_of(serve({"mx.test": Zone(a=["192.0.2.1"], soa=False)}), clock=clock)
    assert (await resolver.addresses("mx.test")).expires - clock.now == 60


async def test_equal_questions_on_their_way_are_asked_once(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"example.test": Zone(mx=["10 mx.test."], delay=0.1)})
    resolver = resolver_of(server)
    found = await asyncio.gather(*(resolver.mail_hosts("example.test") for _ in range(50)))
    assert len(set(found)) == 1
    assert server.asked["example.test", "MX"] == 1
    assert resolver.counts.coalesced == 49


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"example.test": Zone(mx=["10 mx.test."], delay=0.1)})
    resolver = resolver_of(server)
    hasty = asyncio.create_task(resolver.mail_hosts("example.test"))
    patient = asyncio.create_task(resolver.mail_hosts("example.test"))
    await asyncio.sleep(0)
    hasty.cancel()
    assert isinstance(await patient, Hosts)
    assert hasty.cancelled()
    assert server.asked["example.test", "MX"] == 1


@pytest.mark.parametrize(
    "zone", [Zone(rcode="SERVFAIL"), Zone(rcode="REFUSED"), Zone(referral=True)]
)
async def test_the_next_server_is_asked_where_one_gives_nothing_usable(
    serve: Serve, resolver_of: MakeResolver, zone: Zone
) -> None:
    bad, good = serve({"*": zone}), serve({"*": MX})
    resolver = resolver_of(bad, good)
    assert isinstance(await resolver.mail_hosts("a.test"), Hosts)
    assert bad.asked["a.test", "MX"] == 1


async def test_a_dead_server_costs_one_timeout_and_then_nothing(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    dead, good = serve({"*": Zone(silent=frozenset("*"))}), serve({"*": MX})
    resolver = resolver_of(dead, good, timeout=0.2)
    for number in range(5):
        assert isinstance(await resolver.mail_hosts(f"d{number}.test"), Hosts)
    assert sum(dead.asked.values()) == 1


async def test_a_server_that_is_not_there_is_known_at_once(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{unused.getsockname()[1]}"
    resolver = resolver_of(gone, serve({"*": MX}), timeout=60.0, lifetime=60.0)
    async with asyncio.timeout(5):
        assert isinstance(await resolver.mail_hosts("a.test"), Hosts)


async def test_a_server_that_says_it_cannot_is_not_asked_again(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"*": Zone(rcode="SERVFAIL")})
    assert isinstance(await resolver_of(server, tries=3).mail_hosts("a.test"), LookupFailed)
    assert server.asked["a.test", "MX"] == 1


async def test_a_silent_server_is_asked_again_until_the_time_is_over(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"*": Zone(silent=frozenset("*"))})
    resolver = resolver_of(server, timeout=0.05, lifetime=60.0, tries=3)
    found = await resolver.mail_hosts("a.test")
    assert isinstance(found, LookupFailed)
    assert "no answer in time" in found.reason
    assert server.asked["a.test", "MX"] == 3
    assert len(set(server.sources)) == 3
    assert len(set(server.numbers)) == 3


async def test_a_lost_datagram_costs_a_second_try_only(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"a.test": Zone(silent=frozenset("*"))})
    resolver = resolver_of(server, timeout=0.2, lifetime=20.0)
    asking = asyncio.create_task(resolver.mail_hosts("a.test"))
    await until(lambda: server.asked["a.test", "MX"] > 0)
    server.zones["a.test"] = MX
    assert isinstance(await asking, Hosts)


async def test_what_was_cut_off_is_asked_for_over_tcp(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"example.test": Zone(mx=["10 mx.test."], truncate=True)})
    found = await resolver_of(server).mail_hosts("example.test")
    assert isinstance(found, Hosts)
    assert server.over_tcp == 1


async def test_an_answer_over_tcp_has_to_answer_the_question(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"example.test": Zone(mx=["10 mx.test."], truncate=True, astray=True)})
    found = await resolver_of(server).mail_hosts("example.test")
    assert isinstance(found, LookupFailed)
    assert "answers another question" in found.reason


async def test_a_set_too_large_for_a_datagram_comes_whole(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    hosts = [f"10 mx{i}.{'long-label-' * 5}x.test." for i in range(100)]
    server = serve({"example.test": Zone(mx=hosts)})
    found = await resolver_of(server, most_hosts=1000).mail_hosts("example.test")
    assert isinstance(found, Hosts)
    assert len(found.mx) == 100
    assert server.over_tcp == 1


async def test_forged_answers_are_passed_over(serve: Serve, resolver_of: MakeResolver) -> None:
    server = serve({"example.test": Zone(mx=["10 mx.test."], forgeries=4)})
    found = await resolver_of(server).mail_hosts("example.test")
    assert isinstance(found, Hosts)
    assert server.over_tcp == 0


async def test_where_somebody_keeps_guessing_tcp_is_used(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"example.test": Zone(mx=["10 mx.test."], forgeries=40)})
    assert isinstance(await resolver_of(server).mail_hosts("example.test"), Hosts)
    assert server.over_tcp == 1


async def test_an_answer_from_another_port_is_never_seen(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"example.test": Zone(silent=frozenset("*"))})
    forger = serve({"example.test": MX})
    resolver = resolver_of(server, timeout=0.3, lifetime=0.3)
    asking = asyncio.create_task(resolver.mail_hosts("example.test"))
    await until(lambda: bool(server.sources))
    answer = forged(forger, server.numbers[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.sendto(answer, ("127.0.0.1", server.sources[0]))
    assert isinstance(await asking, LookupFailed)


def forged(forger: DnsServer, number: int) -> bytes:
    """The very answer that the asked server would give."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        octets = wire.query(wire.question("example.test", wire.MX), number, 1232)
        udp.sendto(octets, (forger.host, forger.port))
        return udp.recv(4096)


async def test_every_question_has_a_port_and_a_number_of_its_own(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"*": MX})
    resolver = resolver_of(server)
    await asyncio.gather(*(resolver.mail_hosts(f"d{number}.test") for number in range(200)))
    # By chance a port can come twice in 28,000; the same few again and again would show.
    assert len(set(server.sources)) > 190
    assert len(set(server.numbers)) > 190


async def test_slow_domains_do_not_keep_a_quick_one_waiting(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"slow*": Zone(silent=frozenset("*")), "*": MX})
    resolver = resolver_of(server, concurrency=4, timeout=0.05, lifetime=60.0, tries=1000)
    slow = [asyncio.create_task(resolver.mail_hosts(f"slow{i}.test")) for i in range(40)]
    await until(lambda: len(server.asked) == 40 and resolver.counts.timeouts > 40)
    before = resolver.counts.timeouts
    assert isinstance(await resolver.mail_hosts("quick.test"), Hosts)
    # Behind forty in four slots it would have waited for some 36 timeouts.
    assert resolver.counts.timeouts - before <= 8
    await resolver.close()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_no_more_questions_are_on_their_way_than_allowed(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"*": Zone(silent=frozenset("*"))})
    resolver = resolver_of(server, concurrency=3, timeout=60.0, lifetime=60.0)
    asking = [asyncio.create_task(resolver.mail_hosts(f"d{i}.test")) for i in range(20)]
    await until(lambda: sum(server.asked.values()) == 3)
    # All twenty began in one turn of the loop, long before the server's thread saw the third.
    assert resolver.counts.queries == 3
    await resolver.close()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_close_ends_what_is_asked_and_leaves_no_socket(
    serve: Serve, resolver_of: MakeResolver
) -> None:
    server = serve({"*": Zone(silent=frozenset("*"))})
    resolver = resolver_of(server)
    asking = asyncio.create_task(resolver.mail_hosts("a.test"))
    await until(lambda: bool(server.asked))
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_nameservers_are_addresses_with_or_without_a_port() -> None:
    options = ResolverOptions(nameservers=("192.0.2.53", "192.0.2.54:5353", "[2001:db8::1]:54"))
    assert nameservers(options) == (
        Endpoint("192.0.2.53", 53),
        Endpoint("192.0.2.54", 5353),
        Endpoint("2001:db8::1", 54),
    )


def test_a_nameserver_with_a_name_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match="no address"):
        Resolver(ResolverOptions(nameservers=("dns.example:53",)))


@pytest.mark.parametrize("run", ["asyncio", "uvloop"])
def test_it_works_on_both_loops(serve: Serve, run: str) -> None:
    runner: Callable[..., object] = uvloop.run if run == "uvloop" else asyncio.run
    server = serve({"example.test": Zone(mx=["10 mx.test."], truncate=True), "mx.test": HOST})

    async def look() -> None:
        resolver = Resolver(ResolverOptions(nameservers=(server.endpoint,)))
        assert isinstance(await resolver.mail_hosts("example.test"), Hosts)
        assert isinstance(await resolver.addresses("mx.test"), Addresses)
        await resolver.close()

    runner(look())
