"""What goes on now, on a real store."""

from __future__ import annotations

from relay.cli.top import frame
from relay.console.top import Top
from relay.policy.shaping import Limits
from relay.store.client import StoreClient
from relay.store.pace import Pace
from relay.store.roster import Roster
from tests.support.paths import Worker
from tests.support.printed import printed
from tests.support.queue import MINUTE, New, QueueStore, attempt


async def deliver(queue: QueueStore, count: int) -> None:
    for _ in range(count):
        await queue.admitted()
        [lease] = await queue.lease("a.example")
        await queue.settle(lease, verb="final", event="d", outcome=attempt())


async def test_the_frame_has_rates_backlog_sites_and_workers(
    queue: QueueStore, client: StoreClient
) -> None:
    await deliver(queue, 20)
    await queue.admitted(New(queue="slow.example", due_ms=await queue.now() + MINUTE))
    await Roster(client, "w1").report({"mx.example": 3}, {})
    worker = Worker(client, "w1", Limits(initial=2))
    await worker.enter("t1", "t2")
    view = await Top(client, 1, deadline_ms=10_000).look(10)
    rates = {one.kind: one.per_second for one in view.rates}
    assert (rates["delivered"], rates["accepted"], rates["bounced"]) == (2.0, 2.1, 0)
    assert (view.workers, view.waiting, view.deferred) == (1, 0, 1)
    assert [one.domain for one in view.domains] == ["slow.example"]
    [site] = view.sites
    assert (site.site, site.connections, site.window, site.breaker) == (
        *("mx.example", 2, None),
        "open",
    )
    text = printed(frame(view))
    assert "2.1 accepted, 2 delivered" in text
    assert "workers 1" in text
    assert "slow.example" in text
    assert "mx.example" in text


async def test_what_troubles_is_said_and_sites_that_take_nothing_come_first(
    queue: QueueStore, client: StoreClient
) -> None:
    await Roster(client, "w1").report({"mx.example": 1, "fine.example": 9}, {})
    worker = Worker(client, "w1", Limits(initial=2))
    await worker.enter("t1")
    await worker.leave("t1", failures=9, reply="connection refused")
    await client.command("DEL", "relay:{fleet}:workers")
    view = await Top(client, 1, deadline_ms=10_000).look(10)
    assert [one.site for one in view.sites] == ["mx.example", "fine.example"]
    text = printed(frame(view))
    assert "no worker reports: nothing is delivered" in text
    assert "connection refused" in text
    assert "Nothing is queued." in text


async def test_rates_of_much_are_those_of_the_time_looked_at(
    queue: QueueStore, client: StoreClient
) -> None:
    await deliver(queue, 30)
    [newest] = await client.read("XREVRANGE", queue.keys.events, "+", "-", "COUNT", 1)
    now_ms = int(newest[0].partition(b"-")[0]) + 1
    exact = await Pace(client, 1).rates(now_ms)
    assert exact == {"a": 3.0, "d": 3.0}
    # Twenty entries of a moment: far more a second than of ten seconds with a pause.
    assert (await Pace(client, 1, entries=20).rates(now_ms))["d"] > 3.0
