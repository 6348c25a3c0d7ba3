"""Why mail is not being sent, on a real store and a real DNS server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from relay.cli.explain import explanation
from relay.console.explain import Explainer, Explanation
from relay.delivery.route import RouteOptions, Router
from relay.errors import NoSuchMessage
from relay.lookup.resolver import Resolver, ResolverOptions
from relay.policy.routes import RouteTable
from relay.policy.shaping import Limits, Rate, Shaping
from relay.store.client import StoreClient
from relay.store.control import Control
from relay.store.paths import Ask, Path, Paths
from relay.store.roster import Roster
from tests.support.dns import DnsServer, Zone
from tests.support.paths import Worker
from tests.support.printed import printed
from tests.support.queue import MINUTE, New, QueueStore, attempt

ZONES = {
    "a.example": Zone(mx=["10 mx.example.", "20 mx2.example."]),
    "b.example": Zone(mx=["10 mx.example."]),
    "mx.example": Zone(a=["8.0.0.1"]),
    "mx2.example": Zone(a=["8.0.0.2"], aaaa=["2a00::2"]),
    "null.example": Zone(mx=["0 ."]),
    "broken.example": Zone(rcode="SERVFAIL"),
    "own.example": Zone(a=["8.0.0.9"]),
}
ROUTES = {"smart.example": "203.0.113.5:2525"}

Make = Callable[..., Explainer]


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with DnsServer(dict(ZONES)) as server:
        yield server


@pytest.fixture
async def make(client: StoreClient, dns: DnsServer) -> AsyncIterator[Make]:
    resolver = Resolver(ResolverOptions(nameservers=(dns.endpoint,)))
    options = RouteOptions(routes=ROUTES)
    router = Router(resolver, options)

    def made(limits: Limits | None = None) -> Explainer:
        table = RouteTable(options.routes, options.port)
        shaping = Shaping(limits)
        return Explainer(client, 1, resolver=resolver, router=router, table=table, shaping=shaping)

    await Roster(client, "w1").report({}, {})
    yield made
    await router.close()


def causes(view: Explanation) -> list[str]:
    [one] = view.deliveries
    return [finding.what for finding in one.findings]


def first(view: Explanation) -> str:
    return view.deliveries[0].findings[0].text


async def test_what_is_due_is_taken_in_its_turn_and_goes_where_the_dns_says(
    queue: QueueStore, make: Make
) -> None:
    view = await make().message(await queue.admitted())
    assert causes(view) == ["due", "attempts"]
    assert first(view).endswith("1 for a.example are due")
    assert view.deliveries[0].findings[1].text == "it was not attempted so far"
    destination = view.deliveries[0].destination
    assert destination is not None
    assert (destination.by, destination.hosts) == ("mx", ("10 mx.example", "20 mx2.example"))
    assert destination.addresses == (
        "mx.example [8.0.0.1]:25",
        "mx2.example [8.0.0.2]:25",
        "mx2.example [2a00::2]:25",
    )
    assert destination.site.startswith("mx.example+1-")
    assert destination.path == "0 of 5 connections in use, breaker open"


async def test_the_schedule_is_told_with_the_last_reply(queue: QueueStore, make: Make) -> None:
    message = await queue.admitted()
    [lease] = await queue.lease("a.example")
    deferred = attempt(fate="deferred")
    await queue.settle(lease, verb="later", outcome=deferred, slot="1", wait_ms=90 * MINUTE)
    view = await make().message(message)
    assert causes(view) == ["schedule", "attempts"]
    assert "(in 1 h), after 451 4.0.0 so" in first(view)
    assert "1 attempt so far" in view.deliveries[0].findings[1].text
    assert "mx.a.example [192.0.2.1]" in view.deliveries[0].findings[1].text


async def test_a_lease_names_its_holder_and_end(queue: QueueStore, make: Make) -> None:
    message = await queue.admitted()
    await queue.lease("a.example")
    view = await make().message(message)
    assert causes(view) == ["leased", "attempts"]
    assert "worker w1 holds it until" in first(view)
    await queue.set_score(queue.keys.leased, f"{message}.0", await queue.now() - 5000)
    assert "ended 5 s ago" in first(await make().message(message))


async def test_each_kind_of_hold_is_told_with_what_ends_it(
    queue: QueueStore, client: StoreClient, make: Make
) -> None:
    control = Control(client, 1)
    message = await queue.admitted(New(lane="nacme"))
    await control.hold(message)
    assert f"relay release {message} lets it go on" in first(await make().message(message))
    await control.unhold(message)
    await control.hold_tenant("acme", "unpaid")
    await control.hold_queue("a.example", "moving")
    view = await make().message(message)
    assert causes(view) == ["domain-held", "tenant-held", "attempts"]
    assert "(moving); relay release --domain a.example" in first(view)
    assert "(unpaid); relay release --tenant acme" in view.deliveries[0].findings[1].text
    assert causes(await make().address("u@a.example")) == ["domain-held"]


async def test_a_domain_without_a_way_is_told_first(queue: QueueStore, make: Make) -> None:
    for domain, by, permanent, says in (
        ("null.example", "null mx", True, "556 5.1.10 null.example takes no mail (null MX)"),
        ("gone.example", "no such domain", True, "550 5.1.2 gone.example does not exist"),
        ("broken.example", "lookup failed", False, "SERVFAIL"),
    ):
        view = await make().message(await queue.admitted(New(queue=domain)))
        assert causes(view) == ["no-route", "attempts"]
        assert says in first(view)
        destination = view.deliveries[0].destination
        assert destination is not None
        assert (destination.by, destination.permanent, destination.addresses) == (by, permanent, ())


async def test_the_route_table_and_own_addresses_are_named(make: Make) -> None:
    smart = (await make().address("u@smart.example")).deliveries[0].destination
    assert smart is not None
    assert (smart.by, smart.hosts, smart.site) == (
        "route table",
        ("203.0.113.5:2525",),
        "203.0.113.5:2525",
    )
    own = (await make().address("u@own.example")).deliveries[0].destination
    assert own is not None
    assert (own.by, own.hosts) == ("implicit", ("0 own.example",))


async def test_a_full_window_and_a_dead_site_are_told(client: StoreClient, make: Make) -> None:
    assert causes(await make().address("u@b.example")) == ["clear"]
    worker = Worker(client, "w1", Limits(initial=2))
    await worker.enter("t1", "t2")
    view = await make(Limits(initial=2)).address("u@b.example")
    assert causes(view) == ["window"]
    assert "all 2 connections that mx.example may have are in use" in first(view)
    await worker.leave("t1", "t2", failures=9, reply="connection refused")
    view = await make(Limits(initial=2)).address("u@b.example")
    assert causes(view) == ["breaker"]
    assert "mx.example is dead until" in first(view)
    assert first(view).endswith("connection refused")


async def test_a_rate_that_is_used_up_is_told(client: StoreClient, make: Make) -> None:
    limits = Limits(delivery_rate=Rate(2, 3600.0))
    ask = Ask(Path("", "mx.example"), "0/b.example", limits, (), ("t1",), 2)
    await Paths(client, "w1").enter([ask])
    view = await make(limits).address("u@b.example")
    assert causes(view) == ["rate"]
    assert "the rate of deliveries is used up for 29 min" in first(view)


async def test_a_parked_domain_says_until_when_and_why(
    queue: QueueStore, client: StoreClient, make: Make
) -> None:
    message = await queue.admitted()
    await queue.park("a.example", wait_ms=5 * MINUTE, why="connection refused")
    assert causes(await make().message(message))[0] == "parked"
    assert causes(await make().address("u@a.example")) == ["parked"]
    assert first(await make().address("u@a.example")).endswith("connection refused")


async def test_without_a_worker_nothing_goes(
    queue: QueueStore, client: StoreClient, make: Make
) -> None:
    await client.command("DEL", "relay:{fleet}:workers")
    assert causes(await make().message(await queue.admitted()))[0] == "no-worker"


async def test_what_is_over_says_how_it_ended(queue: QueueStore, make: Make) -> None:
    message = await queue.admitted()
    [lease] = await queue.lease("a.example")
    await queue.settle(lease, verb="final", outcome=attempt())
    view = await make().message(message)
    assert causes(view) == ["final"]
    assert first(view).endswith("delivered: 250 2.0.0 so")
    assert view.deliveries[0].recipients == ("u@a.example",)
    with pytest.raises(NoSuchMessage):
        await make().message(queue.new_id())


async def test_the_decisive_line_is_printed_first(queue: QueueStore, make: Make) -> None:
    message = await queue.admitted()
    lines = printed(explanation(await make().message(message))).splitlines()
    assert lines[0] == f"u@a.example  {message}.0"
    assert lines[1].startswith("  it is due")
    assert "  hosts     10 mx.example, 20 mx2.example" in lines
