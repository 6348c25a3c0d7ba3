from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from relay.delivery.route import Route, RouteOptions, Router
from relay.delivery.unroutable import RouteFailure
from relay.lookup.resolver import Resolver, ResolverOptions
from relay.policy.site import site_name
from relay.smtp.options import Target
from tests.support.dns import DnsServer, Zone, sink_zone

ZONES = {
    "example.test": Zone(mx=["10 a.mx.test.", "10 b.mx.test.", "20 c.mx.test."], ttl=120),
    "same.test": Zone(mx=["5 c.mx.test.", "7 b.mx.test.", "9 a.mx.test."]),
    "single.test": Zone(mx=["10 a.mx.test."]),
    "a.mx.test": Zone(a=["8.0.0.1"], ttl=300),
    "b.mx.test": Zone(a=["8.0.0.2"], ttl=90),
    "c.mx.test": Zone(a=["8.0.0.3"], aaaa=["2a00::3"]),
    "implicit.test": Zone(a=["8.0.0.9"]),
    "null.test": Zone(mx=["0 ."]),
    "empty.test": Zone(),
    "servfail.test": Zone(rcode="SERVFAIL"),
    "half.test": Zone(mx=["10 lost.mx.test.", "20 a.mx.test."]),
    "lost.test": Zone(mx=["10 lost.mx.test.", "20 bare.mx.test."]),
    "unsure.test": Zone(mx=["10 lost.mx.test.", "20 broken.mx.test."]),
    "broken.mx.test": Zone(rcode="SERVFAIL"),
    "bare.mx.test": Zone(),
    "private.test": Zone(mx=["10 private.mx.test."]),
    "private.mx.test": Zone(a=["10.0.0.5"]),
    "mixed.test": Zone(mx=["10 private.mx.test.", "20 a.mx.test."]),
    "local.test": Zone(a=["127.0.0.1"], aaaa=["::1"]),
    "mapped.test": Zone(aaaa=["::ffff:127.0.0.1"]),
    "many.test": Zone(mx=["10 wide.mx.test.", "20 a.mx.test."]),
    "wide.mx.test": Zone(a=[f"8.0.1.{i}" for i in range(8)]),
    "late.test": Zone(mx=[*(f"{i} lost{i}.mx.test." for i in range(9)), "9 a.mx.test."]),
    "smart.test": Zone(a=["8.8.0.1"], mx=["10 a.mx.test."]),
    "inside.test": Zone(a=["10.0.0.25"]),
}

MakeRouter = Callable[..., Router]


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer(dict(ZONES)) as server:
        yield server


@pytest.fixture
async def router_of(dns: DnsServer) -> AsyncIterator[MakeRouter]:
    """Makes routers over the zones above."""
    made: list[Router] = []

    def make(
        *,
        clock: Clock | None = None,
        families: tuple[str, ...] = ("ipv4", "ipv6"),
        own: str = "",
        timeout: float = 0.3,
        **options: object,
    ) -> Router:
        settings = ResolverOptions(
            nameservers=(dns.endpoint,), timeout=timeout, lifetime=3 * timeout, families=families
        )
        now = clock or Clock()
        resolver = Resolver(settings, clock=now)
        chance = random.Random(1).random
        router = Router(
            resolver,
            RouteOptions(**options),  # type: ignore[arg-type]
            clock=now,
            chance=chance,
            is_own=lambda address: address == own,
        )
        made.append(router)
        return router

    yield make
    for router in made:
        await router.close()


async def found(router: Router, domain: str) -> Route:
    route = await router.route(domain)
    assert isinstance(route, Route), route
    return route


async def failed(router: Router, domain: str) -> RouteFailure:
    failure = await router.route(domain)
    assert isinstance(failure, RouteFailure), failure
    return failure


def addresses(route: Route) -> list[str]:
    return [target.address for target in route.candidates]


async def test_hosts_are_tried_by_preference_with_all_their_addresses(
    router_of: MakeRouter,
) -> None:
    route = await found(router_of(port=2525), "example.test")
    assert set(addresses(route)[:2]) == {"8.0.0.1", "8.0.0.2"}
    assert route.candidates[2:] == (
        Target("c.mx.test", "8.0.0.3", 2525),
        Target("c.mx.test", "2a00::3", 2525),
    )


async def test_domains_with_the_same_hosts_are_one_site_whatever_their_order(
    router_of: MakeRouter,
) -> None:
    router = router_of()
    one, other = await found(router, "example.test"), await found(router, "same.test")
    assert one.site == other.site == site_name(["a.mx.test", "b.mx.test", "c.mx.test"])
    assert (await found(router, "single.test")).site == "a.mx.test"


async def test_each_attempt_draws_the_order_of_equal_hosts_anew(router_of: MakeRouter) -> None:
    route = await found(router_of(), "example.test")
    chance = random.Random(3).random
    orders = [[target.address for target in route.order(chance)] for _ in range(100)]
    assert {order[0] for order in orders} == {"8.0.0.1", "8.0.0.2"}
    assert all(order[2:] == ["8.0.0.3", "2a00::3"] for order in orders)


async def test_a_domain_without_mx_is_its_own_host(router_of: MakeRouter) -> None:
    route = await found(router_of(), "implicit.test")
    assert route.candidates == (Target("implicit.test", "8.0.0.9", 25),)
    assert route.site == "implicit.test"


async def test_a_host_that_is_lost_does_not_keep_mail_from_the_next(router_of: MakeRouter) -> None:
    assert addresses(await found(router_of(), "half.test")) == ["8.0.0.1"]


async def test_no_more_addresses_are_tried_than_allowed_and_each_host_gets_a_turn(
    router_of: MakeRouter,
) -> None:
    route = await found(router_of(most_addresses=3), "many.test")
    assert [target.host for target in route.candidates] == ["wide.mx.test"] * 2 + ["a.mx.test"]


async def test_hosts_further_down_are_looked_up_only_where_no_better_one_is_there(
    router_of: MakeRouter, dns: DnsServer
) -> None:
    router = router_of(most_addresses=2)
    assert addresses(await found(router, "late.test")) == ["8.0.0.1"]
    await found(router, "example.test")
    assert not dns.asked["c.mx.test", "A"]


PERMANENT = [
    ("nowhere.test", 550, "5.1.2", "nowhere.test does not exist"),
    ("null.test", 556, "5.1.10", "null.test takes no mail (null MX)"),
    ("empty.test", 550, "5.4.4", "empty.test has neither MX nor address records"),
    ("not a name", 550, "5.1.2", "not a name does not exist"),
    ("[8.8.8.8]", 550, "5.1.2", "mail to the address literal [8.8.8.8] is not delivered"),
]

TEMPORARY = [
    ("servfail.test", "4.4.3", "servfail.test could not be looked up"),
    ("lost.test", "4.4.4", "no host of lost.test has an address: lost.mx.test, bare.mx.test"),
    ("unsure.test", "4.4.3", "no host of unsure.test could be looked up: broken.mx.test"),
    (
        "private.test",
        "4.4.4",
        "private.test leads to private.mx.test [10.0.0.5], which is private; "
        "delivery.private_targets would allow it",
    ),
    ("local.test", "4.4.4", "[127.0.0.1], which is loopback, local.test [::1], which is loopback"),
    ("mapped.test", "4.4.4", "[::ffff:127.0.0.1], which is loopback"),
]


@pytest.mark.parametrize(("domain", "code", "enhanced", "text"), PERMANENT)
async def test_only_what_a_domain_says_of_itself_is_permanent(
    router_of: MakeRouter, domain: str, code: int, enhanced: str, text: str
) -> None:
    failure = await failed(router_of(), domain)
    assert failure.permanent
    assert (failure.reply.code, failure.reply.enhanced) == (code, enhanced)
    assert failure.reply.text == text


@pytest.mark.parametrize(("domain", "enhanced", "text"), TEMPORARY)
async def test_what_is_unsure_is_temporary(
    router_of: MakeRouter, domain: str, enhanced: str, text: str
) -> None:
    failure = await failed(router_of(), domain)
    assert not failure.permanent
    assert (failure.reply.code, failure.reply.enhanced) == (451, enhanced)
    assert text in failure.reply.text


async def test_a_domain_without_address_may_have_one_of_a_family_not_asked_for(
    router_of: MakeRouter,
) -> None:
    assert not (await failed(router_of(families=("ipv4",)), "empty.test")).permanent


async def test_an_address_inside_is_left_out_where_there_is_another(router_of: MakeRouter) -> None:
    assert addresses(await found(router_of(), "mixed.test")) == ["8.0.0.1"]


async def test_an_allowed_network_may_be_connected_to(router_of: MakeRouter) -> None:
    router = router_of(allowed=("10.0.0.0/24",))
    assert addresses(await found(router, "private.test")) == ["10.0.0.5"]
    assert not (await failed(router, "local.test")).permanent


@pytest.mark.parametrize("options", [{"own_addresses": frozenset({"8.0.0.9"})}, {"own": "8.0.0.9"}])
async def test_an_own_address_is_not_connected_to(
    router_of: MakeRouter, options: dict[str, object]
) -> None:
    failure = await failed(router_of(**options), "implicit.test")
    assert "[8.0.0.9], which is own" in failure.reply.text
    assert not failure.permanent


async def test_an_own_address_is_known_in_another_spelling(router_of: MakeRouter) -> None:
    assert router_of(own="8.0.0.9").refusal("::ffff:8.0.0.9") == "own"


async def test_an_own_address_may_be_allowed(router_of: MakeRouter) -> None:
    router = router_of(own="8.0.0.9", allowed=("8.0.0.9/32",))
    assert addresses(await found(router, "implicit.test")) == ["8.0.0.9"]


@pytest.mark.parametrize(
    ("own", "left"),
    [("c.mx.test", {"8.0.0.1", "8.0.0.2"}), ("C.MX.TEST.", {"8.0.0.1", "8.0.0.2"})],
)
async def test_our_own_host_and_what_is_no_better_is_left_out(
    router_of: MakeRouter, own: str, left: set[str]
) -> None:
    router = router_of(own_names=frozenset({own}))
    route = await found(router, "example.test")
    assert set(addresses(route)) == left
    assert route.site == site_name(["a.mx.test", "b.mx.test", "c.mx.test"])


async def test_mail_does_not_run_in_a_circle(router_of: MakeRouter) -> None:
    failure = await failed(router_of(own_names=frozenset({"a.mx.test"})), "example.test")
    assert (failure.permanent, failure.reply.enhanced) == (False, "4.4.6")


@pytest.mark.parametrize(
    ("routes", "target", "site"),
    [
        ({"*": "[127.0.0.1]:2526"}, Target("127.0.0.1", "127.0.0.1", 2526), "127.0.0.1:2526"),
        ({"*": "127.0.0.1:2526"}, Target("127.0.0.1", "127.0.0.1", 2526), "127.0.0.1:2526"),
        ({"*": "[::1]:26"}, Target("::1", "::1", 26), "[::1]:26"),
        ({"*": "localhost:26"}, Target("127.0.0.1", "127.0.0.1", 26), "127.0.0.1:26"),
        ({"*": "smart.test"}, Target("smart.test", "8.8.0.1", 25), "smart.test:25"),
        ({"*": "x:1", "null.test": "smart.test:587"}, Target("smart.test", "8.8.0.1", 587), ""),
    ],
)
async def test_the_route_table_wins_over_the_dns(
    router_of: MakeRouter, dns: DnsServer, routes: dict[str, str], target: Target, site: str
) -> None:
    route = await found(router_of(routes=routes), "null.test")
    assert route.candidates == (target,)
    assert route.site == (site or f"{target.host}:{target.port}")
    assert not any(rdtype == "MX" for _, rdtype in dns.asked)


@pytest.mark.parametrize(
    ("smart_host", "text"),
    [("gone.test:25", "has an address: gone.test"), ("inside.test:25", "private_targets")],
)
async def test_a_smart_host_that_cannot_be_reached_bounces_nothing(
    router_of: MakeRouter, smart_host: str, text: str
) -> None:
    failure = await failed(router_of(routes={"*": smart_host}), "example.test")
    assert not failure.permanent
    assert text in failure.reply.text


async def test_a_route_to_an_address_inside_allows_nobody_else_to_lead_there(
    router_of: MakeRouter,
) -> None:
    router = router_of(routes={"other.test": "127.0.0.1:25"})
    assert not (await failed(router, "local.test")).permanent
    assert addresses(await found(router, "other.test")) == ["127.0.0.1"]


async def test_the_check_at_the_connection_lets_through_what_the_route_table_names(
    router_of: MakeRouter,
) -> None:
    router = router_of(routes={"*": "localhost:25", "a.test": "[::1]:26", "b.test": "smart.test"})
    assert router.may_connect("127.0.0.1")
    assert router.may_connect("::1")
    assert router.may_connect("8.8.8.8")
    assert not router.may_connect("127.0.0.2")


@pytest.mark.parametrize(
    ("domain", "address"), [("[8.8.8.8]", "8.8.8.8"), ("[IPv6:2A00::1]", "2a00::1")]
)
async def test_address_literals_are_delivered_to_where_settings_say_so(
    router_of: MakeRouter, domain: str, address: str
) -> None:
    route = await found(router_of(address_literals=True), domain)
    assert route.candidates == (Target(domain, address, 25),)
    assert route.site == f"[{address}]"


@pytest.mark.parametrize(
    ("domain", "permanent"),
    [("[10.0.0.1]", False), ("[IPv6:::1]", False), ("[8.8.8", True), ("[8.8.8.8", True)],
)
async def test_a_literal_leads_nowhere_that_a_name_would_not(
    router_of: MakeRouter, domain: str, permanent: bool
) -> None:
    assert (await failed(router_of(address_literals=True), domain)).permanent == permanent


async def test_a_route_is_kept_as_long_as_the_dns_says(
    router_of: MakeRouter, dns: DnsServer
) -> None:
    clock = Clock()
    router = router_of(clock=clock, families=("ipv4",))
    assert router.cached("example.test") is None
    route = await found(router, "example.test")
    clock.now += 59
    assert router.cached("example.test") is route
    clock.now += 1
    assert router.cached("example.test") is None
    dns.zones["c.mx.test"] = Zone(a=["8.0.0.33"])
    dns.forget()
    assert "8.0.0.33" in addresses(await found(router, "example.test"))
    assert dns.asked["example.test", "MX"] == 1
    assert dns.asked["c.mx.test", "A"] == 2


async def test_a_failure_is_kept_for_a_moment_and_then_mended(
    router_of: MakeRouter, dns: DnsServer
) -> None:
    clock = Clock()
    router = router_of(clock=clock)
    failure = await failed(router, "servfail.test")
    assert router.cached("servfail.test") is failure
    dns.zones["servfail.test"] = ZONES["implicit.test"]
    dns.forget()
    clock.now += 10
    assert addresses(await found(router, "servfail.test")) == ["8.0.0.9"]


async def test_many_who_want_a_route_at_once_have_it_found_once(
    router_of: MakeRouter, dns: DnsServer
) -> None:
    router = router_of()
    hasty = asyncio.create_task(router.route("example.test"))
    others = [asyncio.create_task(router.route("example.test")) for _ in range(20)]
    await asyncio.sleep(0)
    hasty.cancel()
    routes = await asyncio.gather(*others)
    assert all(route is routes[0] for route in routes)
    assert dns.asked["example.test", "MX"] == 1


async def test_a_name_made_to_lead_inside_after_the_check_changes_nothing(
    router_of: MakeRouter, dns: DnsServer
) -> None:
    route = await found(router_of(), "implicit.test")
    dns.zones["implicit.test"] = Zone(a=["127.0.0.1"])
    dns.forget()
    assert [target.address for target in route.order()] == ["8.0.0.9"]


async def test_a_thousand_domains_are_routed_quickly(dns: DnsServer, router_of: MakeRouter) -> None:
    dns.zones.clear()
    dns.zones.update(sink_zone("8.0.0.1"))
    router = router_of(timeout=5.0)
    async with asyncio.timeout(20):
        domains = [f"d{number}.test" for number in range(1000)]
        routes = await asyncio.gather(*(found(router, domain) for domain in domains))
    assert {route.site for route in routes} == {f"mx.{domain}" for domain in domains}


def test_a_route_table_that_cannot_be_read_is_an_error() -> None:
    resolver = Resolver(ResolverOptions(nameservers=("127.0.0.1:53",)))
    with pytest.raises(ValueError, match="no host:port"):
        Router(resolver, RouteOptions(routes={"*": "two words"}))
