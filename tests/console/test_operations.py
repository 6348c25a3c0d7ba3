"""What operators do to many deliveries at once, on a real store."""

from __future__ import annotations

import json

import pytest

from relay.console.events import Events
from relay.console.operations import Operations
from relay.console.sites import Sites
from relay.console.status import StoreConsole
from relay.lookup.answers import Hosts, LookupFailed, MailHosts
from relay.mail.reply import bounce_reply
from relay.policy.routes import RouteTable
from relay.policy.selection import Selection
from relay.store.client import StoreClient
from relay.store.codec import Place
from relay.store.identity import IdentityStore
from tests.support.queue import MINUTE, New, QueueStore

ALL = Selection(everything=True)


@pytest.fixture
def operations(client: StoreClient) -> Operations:
    return Operations(client, 1, longest_ms=5 * 24 * 60 * MINUTE, by="cli:ann")


async def places(queue: QueueStore, *messages: str) -> list[Place | None]:
    return [await queue.place(f"{message}.0") for message in messages]


async def test_a_dry_run_counts_and_changes_nothing(
    queue: QueueStore, operations: Operations
) -> None:
    messages = [await queue.admitted(New(queue=f"{name}.example")) for name in "aab"]
    done = await operations.run("hold", ALL, dry_run=True)
    assert (done.deliveries, done.answers, done.dry_run) == (3, {}, True)
    assert [(one.domain, one.deliveries) for one in done.domains] == [
        ("a.example", 2),
        ("b.example", 1),
    ]
    assert await places(queue, *messages) == [Place.READY] * 3


async def test_all_is_held_and_released_and_goes_on(
    queue: QueueStore, operations: Operations
) -> None:
    now = await queue.now()
    ready, leased = await queue.admitted(), await queue.admitted(New(queue="b.example"))
    later = await queue.admitted(New(queue="c.example", due_ms=now + MINUTE))
    [lease] = await queue.lease("b.example")
    held = await operations.run("hold", ALL, dry_run=False)
    assert held.answers == {"held": 2, "pending": 1}
    assert await places(queue, ready, leased, later) == [Place.HELD, Place.LEASED, Place.HELD]
    await queue.settle(lease, verb="later", outcome=b"", slot="1")
    assert await places(queue, leased) == [Place.HELD]
    released = await operations.run("release", ALL, dry_run=False)
    assert released.answers == {"unheld": 3}
    assert (await places(queue, ready, later)) == [Place.READY, Place.LATER]
    assert await queue.lease("a.example")


async def test_what_is_selected_by_domain_and_age_alone_is_touched(
    queue: QueueStore, operations: Operations
) -> None:
    old, new = await queue.admitted(), await queue.admitted()
    other = await queue.admitted(New(queue="b.example"))
    now = await queue.now()
    await queue.set_score(queue.keys.age, f"{old}.0", now - MINUTE)
    selection = Selection(domains=frozenset({"a.example"}), before_ms=now - MINUTE // 2)
    done = await operations.run("cancel", selection, dry_run=False)
    assert done.answers == {"cancelled": 1}
    assert await places(queue, old, new, other) == [None, Place.READY, Place.READY]


async def test_a_domain_is_held_with_the_mail_that_is_to_come(
    queue: QueueStore, operations: Operations
) -> None:
    await queue.admitted()
    selection = Selection(domains=frozenset({"a.example"}))
    done = await operations.run("hold", selection, dry_run=False)
    assert (done.whole, done.deliveries) == (("domain a.example",), 1)
    await queue.admitted()
    assert await queue.lease("a.example") == []
    await operations.run("release", selection, dry_run=False)
    assert len(await queue.lease("a.example")) == 2


async def test_releasing_all_lets_whole_tenants_go_too(
    queue: QueueStore, operations: Operations
) -> None:
    await queue.admitted(New(lane="nacme"))
    await operations.run("hold", Selection(tenants=frozenset({"acme"})), dry_run=False)
    assert await queue.lease("a.example") == []
    await operations.run("release", ALL, dry_run=False)
    assert len(await queue.lease("a.example")) == 1


async def test_what_waits_for_later_is_attempted_now(
    queue: QueueStore, operations: Operations
) -> None:
    message = await queue.admitted(New(due_ms=await queue.now() + MINUTE))
    done = await operations.run("retry", ALL, dry_run=False)
    assert done.answers == {"ready": 1}
    assert await places(queue, message) == [Place.READY]


async def test_what_is_selected_is_bounced_with_the_reply_that_is_given(
    queue: QueueStore, client: StoreClient
) -> None:
    reply = bounce_reply("554 5.6.0 a mistake of ours")
    operations = Operations(client, 1, longest_ms=5 * 24 * 60 * MINUTE, reply=reply)
    message, other = await queue.admitted(), await queue.admitted(New(queue="b.example"))
    selection = Selection(domains=frozenset({"a.example"}))
    counted = await operations.run("bounce", selection, dry_run=True)
    assert (counted.deliveries, counted.answers) == (1, {})
    assert await places(queue, message, other) == [Place.READY] * 2
    done = await operations.run("bounce", selection, dry_run=False)
    assert done.answers == {"bounced": 1}
    assert await places(queue, message, other) == [None, Place.READY]
    [recipient] = (await StoreConsole(client, 1).message(message)).recipients
    assert (recipient.state, recipient.last_reply) == ("bounced", "554 5.6.0 a mistake of ours")
    [*_, event] = (await Events(client, 1).after("0-0"))[0]
    assert (event.type, event.recipients[0].outcome) == ("bounced", "bounced")
    assert (event.recipients[0].code, event.recipients[0].enhanced) == (554, "5.6.0")
    [change] = await IdentityStore(client).changes(10)
    assert json.loads(change.fields["changes"])["reply"] == "554 5.6.0 a mistake of ours"


class Answers:
    """A DNS in which names under one.example share their hosts; lost.example is not answered."""

    async def mail_hosts(self, domain: str) -> MailHosts:
        if domain == "lost.example":
            return LookupFailed("SERVFAIL", 0.0)
        host = "mx.one.example" if domain.endswith("one.example") else f"mx.{domain}"
        return Hosts(((10, host),), False, 0.0)


@pytest.fixture
def sited(client: StoreClient) -> Operations:
    table = RouteTable({"smart.example": "192.0.2.1:2525"}, 25)
    sites = Sites(Answers(), table)
    return Operations(client, 1, longest_ms=5 * 24 * 60 * MINUTE, by="cli:ann", sites=sites)


async def test_a_site_is_all_domains_that_share_its_hosts(
    queue: QueueStore, sited: Operations
) -> None:
    names = ("a.one.example", "b.one.example", "other.example", "lost.example", "smart.example")
    messages = [await queue.admitted(New(queue=name)) for name in names]
    selection = Selection(sites=frozenset({"mx.one.example"}))
    counted = await sited.run("cancel", selection, dry_run=True)
    assert (counted.deliveries, counted.siteless) == (2, 1)
    assert counted.selection == "--site mx.one.example"
    done = await sited.run("bounce", selection, dry_run=False)
    assert done.answers == {"bounced": 2}
    assert await places(queue, *messages) == [None, None, *[Place.READY] * 3]
    smart = Selection(sites=frozenset({"192.0.2.1:2525"}))
    assert (await sited.run("cancel", smart, dry_run=False)).answers == {"cancelled": 1}


async def test_a_site_is_held_and_released_with_the_mail_to_come_to_its_domains(
    queue: QueueStore, sited: Operations
) -> None:
    await queue.admitted(New(queue="a.one.example"))
    selection = Selection(sites=frozenset({"mx.one.example"}))
    held = await sited.run("hold", selection, dry_run=False)
    assert held.whole == ("domain a.one.example",)
    await queue.admitted(New(queue="a.one.example"))
    assert await queue.lease("a.one.example") == []
    released = await sited.run("release", selection, dry_run=False)
    assert released.whole == ("domain a.one.example",)
    assert len(await queue.lease("a.one.example")) == 2


async def test_a_site_that_nothing_leads_to_selects_nothing(
    queue: QueueStore, sited: Operations
) -> None:
    message = await queue.admitted()
    for selection in (
        Selection(sites=frozenset({"mx.nobody.example"})),
        Selection(sites=frozenset({"mx.one.example"}), domains=frozenset({"a.example"})),
    ):
        done = await sited.run("cancel", selection, dry_run=False)
        assert (done.deliveries, done.answers, done.whole) == (0, {}, ())
    assert await places(queue, message) == [Place.READY]


async def test_messages_are_selected_by_id_and_unknown_ones_are_nobody(
    queue: QueueStore, operations: Operations
) -> None:
    one, other = await queue.admitted(), await queue.admitted()
    selection = Selection(messages=frozenset({one, queue.new_id()}))
    assert (await operations.run("hold", selection, dry_run=False)).answers == {"held": 1}
    assert await places(queue, one, other) == [Place.HELD, Place.READY]


async def test_more_than_a_portion_is_met_to_the_last(
    queue: QueueStore, operations: Operations
) -> None:
    for number in range(450):
        await queue.admitted(New(queue=f"d{number % 7}.example"))
    done = await operations.run("hold", ALL, dry_run=False)
    assert done.answers == {"held": 450}
    assert await queue.client.read("ZCARD", queue.keys.held) == 450


async def test_who_did_what_is_in_the_audit(
    queue: QueueStore, operations: Operations, client: StoreClient
) -> None:
    await queue.admitted()
    await operations.run("hold", ALL, dry_run=True)
    await operations.run("hold", ALL, dry_run=False)
    [change] = await IdentityStore(client).changes(10)
    assert (change.fields["by"], change.fields["action"]) == ("cli:ann", "hold")
    assert change.fields["name"] == "--all"
    assert json.loads(change.fields["changes"])["answers"] == {"held": 1}
