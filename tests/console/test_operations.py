"""What operators do to many deliveries at once, on a real store."""

from __future__ import annotations

import json

import pytest

from relay.console.operations import Operations
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
