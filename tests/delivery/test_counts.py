"""What attempts, leases and grants count as, where only a race would show it from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relay.delivery.book import LeaseBook, now
from relay.delivery.conclude import Conclusions
from relay.delivery.doorstep import count_refusal
from relay.mail.reply import Reply
from relay.metrics.labels import PATH_REFUSALS
from relay.policy.retry import RetrySchedule
from relay.policy.shaping import Limits
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.leasing import Lease, LeaseOptions, Leasing
from relay.store.paths import Ask, Grant, Path, State
from tests.support.counted import Counted
from tests.support.queue import QueueStore

GONE = Reply(550, "5.1.2", "no such domain")
PATH = Path("", "mx.example")


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[StoreClient]:
    client = StoreClient(Address.parse(store_url))
    await client.start()
    yield client
    await client.close()


async def leased(client: StoreClient) -> tuple[Lease, Leasing, Conclusions]:
    """A delivery that this holder leased, has in its book and may conclude."""
    await QueueStore(client).admitted()
    leasing = Leasing(client, 1, "me", LeaseOptions())
    [grant] = await leasing.lease(0, [("a.example", 1)])
    [lease] = grant.leases
    book = LeaseBook(30.0)
    book.enter(lease, now())
    return lease, leasing, Conclusions(leasing, book, RetrySchedule(), lambda _: None)


async def test_an_outcome_that_comes_too_late_is_fenced_and_its_lease_lost(
    client: StoreClient,
) -> None:
    lease, _, conclusions = await leased(client)
    queue = QueueStore(client)
    await queue.run("release", queue.fixed("release"), "me", 0, lease.id, lease.fence)
    await queue.lease(holder="another")
    fenced, lost = Counted("relay_settles_fenced_total"), Counted("relay_leases_lost_total")
    conclusions.unroutable(lease, GONE)
    await conclusions.settler.drained()
    assert (fenced.more, lost.more) == (1, 1)


async def test_a_lease_that_was_known_to_be_lost_is_lost_once(client: StoreClient) -> None:
    lease, _, conclusions = await leased(client)
    queue = QueueStore(client)
    await queue.run("release", queue.fixed("release"), "me", 0, lease.id, lease.fence)
    await queue.lease(holder="another")
    conclusions._book.strike(lease)
    fenced, lost = Counted("relay_settles_fenced_total"), Counted("relay_leases_lost_total")
    conclusions.unroutable(lease, GONE)
    await conclusions.settler.drained()
    assert (fenced.more, lost.more) == (1, 0)


async def test_an_outcome_that_is_taken_is_neither(client: StoreClient) -> None:
    lease, _, conclusions = await leased(client)
    fenced, lost = Counted("relay_settles_fenced_total"), Counted("relay_leases_lost_total")
    bounced = Counted("relay_outcomes_total", outcome="bounced", reply="5yz")
    conclusions.unroutable(lease, GONE)
    await conclusions.settler.drained()
    assert (fenced.more, lost.more, bounced.more) == (0, 0, 1)


async def test_a_delivery_is_counted_as_held_once_it_is(client: StoreClient) -> None:
    lease, _, conclusions = await leased(client)
    held = Counted("relay_deliveries_held_total", reason="content")
    conclusions.without_content(lease)
    assert held.more == 0
    await conclusions.settler.drained()
    assert held.more == 1


def ask(fresh: int) -> Ask:
    tokens = tuple(f"t{number}" for number in range(fresh))
    return Ask(PATH, "0/a.example", Limits(connections=10), fresh=tokens)


def grant(fresh: int, state: State = "open", window: int = 2, in_use: int = 0) -> Grant:
    tokens = tuple(f"t{number}" for number in range(fresh))
    return Grant(PATH, state, (), tokens, 1, 100, 0, window, in_use, "", "")


@pytest.mark.parametrize(
    ("asked", "granted", "reason", "count"),
    [
        pytest.param(3, grant(1, in_use=2), "window", 2, id="the window holds some off"),
        pytest.param(1, grant(0, window=99, in_use=10), "window", 1, id="the limit does"),
        pytest.param(2, grant(0, in_use=1), "rate", 2, id="there is room, but not now"),
        pytest.param(1, grant(0, "dead"), "breaker", 1, id="the site is dead"),
        pytest.param(4, grant(1, "probe"), "breaker", 3, id="one tries it out"),
        pytest.param(1, None, "store", 1, id="nobody answers"),
        pytest.param(1, grant(1, in_use=1), "window", 0, id="all were granted"),
        pytest.param(0, None, "store", 0, id="none was asked for"),
    ],
)
def test_each_connection_that_was_not_granted_counts_with_the_reason(
    asked: int, granted: Grant | None, reason: str, count: int
) -> None:
    refused = {
        each: Counted("relay_path_refused_total", site="other", reason=each)
        for each in PATH_REFUSALS
    }
    count_refusal(ask(asked), granted)
    moved = {each: counted.more for each, counted in refused.items() if counted.more}
    assert moved == ({reason: count} if count else {})
