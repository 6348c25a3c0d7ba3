"""From a ring to the outcome, with a real store and real hosts: what a worker's part of it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay.delivery import staff
from relay.delivery.table import TableOptions
from relay.policy.shaping import Limits, Rate
from relay.store.codec import Flag, Place
from relay.store.timing import Timing, TimingOptions
from relay.upkeep import Pump
from tests.support.counted import Counted
from tests.support.desk import Manner, Worker
from tests.support.mx import Mx
from tests.support.queue import New


def at(server: Mx, *domains: str) -> dict[str, str]:
    """Routes of these domains to a host."""
    return dict.fromkeys(domains or ("a.example",), f"127.0.0.1:{server.port}")


async def test_what_is_submitted_is_delivered_and_nothing_is_left_in_hand(store_url: str) -> None:
    async with Mx() as server, Worker(store_url, at(server)) as worker:
        ids = await worker.submit("u@a.example", 100)
        await worker.until_empty()
        assert len(server.taken) == 100
        assert [await worker.fates(one) for one in ids] == [["delivered"]] * 100
        await worker.until_at_rest()


async def test_a_slow_site_gets_sessions_up_to_its_window(store_url: str) -> None:
    limits = Limits(initial=2, connections=5)
    async with (
        Mx(delays={".": 0.1}) as server,
        Worker(store_url, at(server), Manner(limits=limits)) as worker,
    ):
        await worker.submit("u@a.example", 60)
        await worker.until_empty()
        assert server.most_open == 5
        await worker.until_at_rest()


@pytest.mark.parametrize("prompt", [True, False], ids=["prompt", "slow"])
async def test_only_a_prompt_site_gets_sessions_quickly(
    store_url: str, monkeypatch: pytest.MonkeyPatch, prompt: bool
) -> None:
    """90 messages: in rounds of 5, 10, 15, 20 and so on, or of 5, 6, 7 and so on up to 13."""
    monkeypatch.setattr(staff, "PROMPT", 60.0 if prompt else 0.1)
    async with (
        Mx(delays={".": 0.3}) as server,
        Worker(store_url, at(server), Manner(limits=Limits(initial=5))) as worker,
    ):
        await worker.submit("u@a.example", 90)
        await worker.until_empty()
        assert (server.most_open > 16) == prompt, server.most_open
        assert (server.most_open < 15) == (not prompt), server.most_open
        await worker.until_at_rest()


async def test_mail_that_comes_after_its_session_gets_further_sessions_too(
    store_url: str,
) -> None:
    """The first session waits for work when the content is here, and takes one of four."""
    gate = asyncio.Event()
    async with (
        Mx(gates={".": gate}) as server,
        Worker(store_url, at(server), Manner(limits=Limits(initial=5))) as worker,
    ):
        loader = worker.dispatcher._loader
        load, loop = loader.load, worker.loop
        loader.load = lambda job: loop.call_later(0.2, load, job)  # type: ignore[method-assign,assignment]
        worker.deaf = True
        await worker.submit("u@a.example", 4)
        worker.deaf = False
        worker.ring(["0/a.example"])
        await worker.until(lambda: server.open >= 3, patience=4)
        gate.set()
        await worker.until_empty()


async def test_a_rate_is_used_up_to_its_limit(store_url: str) -> None:
    """30 deliveries at 20 a second take a second and a half: none waits for the next look."""
    limits = Limits(delivery_rate=Rate(20, 1.0, burst=1))
    async with Mx() as server, Worker(store_url, at(server), Manner(limits=limits)) as worker:
        await worker.submit("u@a.example", 30)
        started = worker.loop.time()
        await worker.until_empty()
        assert 1.0 < worker.loop.time() - started < 3.5
        await worker.until_at_rest()


async def test_a_dead_site_costs_no_attempt_and_goes_on_by_a_probe(store_url: str) -> None:
    async with Mx() as server:
        routes = at(server)
    async with Worker(store_url, routes) as worker:
        ids = await worker.submit("u@a.example", 20)
        await worker.until(lambda: worker.client.said["park"] >= 3)
        stored = [await worker.queue.stored(f"{one}.0") for one in ids]
        assert {one.attempts for one in stored if one} == {0}
        assert await worker.connections() == 0
        async with Mx(port=server.port) as back:
            await worker.until_empty()
            assert len(back.taken) == 20
            assert back.connections <= 3
        await worker.until_at_rest()


async def test_what_is_due_at_once_is_promoted_at_once(store_url: str) -> None:
    async with Worker(store_url, {}) as worker:
        worker.deaf = True
        keys, now = worker.queue.keys, await worker.queue.now()
        for _ in range(60):
            await worker.queue.admitted(*[New(due_ms=now + 3_600_000)] * 50)
        ids = await worker.client.read("ZRANGE", keys.later, 0, -1)
        for at in range(0, len(ids), 500):
            some = ids[at : at + 500]
            await worker.client.read("ZADD", keys.later, *(x for one in some for x in (1, one)))
        await worker.pump.turn()
        assert await worker.client.read("ZCARD", keys.later) == 0
        assert await worker.client.read("ZCARD", keys.ready) == 3000
        await worker.client.read("FLUSHALL")


async def test_the_broker_is_asked_how_full_it_is_only_where_there_was_something_to_ring(
    store_url: str,
) -> None:
    asked, held, rung = 0, 0, list[str]()

    async def depth() -> int:
        nonlocal asked
        asked += 1
        return held

    async with Worker(store_url, {}) as worker:
        worker.deaf = True
        timing = Timing(worker.client, 1, TimingOptions(deadline_ms=500))
        pump = Pump(timing, 1, ring=rung.extend, depth=depth, slots=lambda: 1)
        await pump.turn()
        await pump.turn()
        assert asked == 1, "at first it cannot know"
        await worker.queue.admitted()
        await worker.client.read("ZADD", worker.queue.keys.wake, "XX", 1, "a.example")
        await pump.turn()
        assert (asked, rung) == (1, ["0/a.example"])
        held = 1000
        await asyncio.sleep(0.7)
        for times in (2, 3):
            await pump.turn()
            assert (asked, rung) == (times, ["0/a.example"]), "it holds enough: nothing is rung"
        await worker.client.read("FLUSHALL")


async def test_a_greeting_that_refuses_parks_the_site_too(store_url: str) -> None:
    answers = {"CONNECT": ("421 4.3.2 not now", "421 4.3.2 not now", "220 mx.example")}
    async with Mx(answers=answers) as server, Worker(store_url, at(server)) as worker:
        ids = await worker.submit("u@a.example", 5)
        await worker.until_empty()
        assert [await worker.fates(one) for one in ids] == [["delivered"]] * 5
        await worker.until_at_rest()


async def test_what_is_to_be_alone_does_not_wait_under_lease_for_a_dead_site(
    store_url: str,
) -> None:
    async with Mx() as server:
        routes = at(server)
    limits = Limits(initial=1, first_pause=60, longest_pause=60)
    async with Worker(store_url, routes, Manner(limits=limits)) as worker:
        queue = worker.queue
        for _ in range(3):
            await queue.admitted(New(flags=Flag.ALONE))
        worker.ring(["0/a.example"])
        await worker.until(lambda: worker.client.said["park"])

        async def leased() -> int:
            return int(await worker.client.read("ZCARD", queue.keys.leased))

        await asyncio.sleep(1)
        assert not await leased(), worker.state()
        await worker.until_at_rest()
        await worker.queue.cancel(*await ids_of(worker))


async def ids_of(worker: Worker) -> list[str]:
    names = await worker.client.read("HKEYS", worker.queue.keys.deliveries)
    return [name.decode() for name in names]


async def test_a_queue_rung_while_its_site_is_dead_rests_at_once(store_url: str) -> None:
    async with Mx() as server:
        routes = at(server, "a.example", "b.example")
    limits = Limits(initial=1, first_pause=60, longest_pause=60)
    async with Worker(store_url, routes, Manner(limits=limits)) as worker:
        await worker.submit("u@a.example")
        await worker.until(lambda: worker.client.said["park"])
        refused = Counted("relay_path_refused_total", site="other", reason="breaker")
        await worker.submit("u@b.example")
        now = await worker.queue.now()

        async def parked() -> bool:
            wake = await worker.queue.scores(worker.queue.keys.wake)
            return wake.get("b.example", 0) > now + 30_000

        await until(parked)
        assert refused.more == 1
        rung = worker.rung["0/b.example"]
        await asyncio.sleep(1.0)
        assert worker.rung["0/b.example"] == rung
        await worker.queue.cancel(*await ids_of(worker))


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await happened():  # noqa: ASYNC110 - asked of the store
            await asyncio.sleep(0.02)


async def test_while_all_connections_are_busy_the_store_is_not_asked_again_and_again(
    store_url: str,
) -> None:
    limits = Limits(initial=1, connections=1)
    gate = asyncio.Event()
    async with (
        Mx(gates={".": gate}) as server,
        Worker(store_url, at(server), Manner(limits=limits)) as worker,
    ):
        await worker.submit("u@a.example", 5)
        await worker.until(lambda: "." in server.commands)
        before = worker.client.said["enter"]
        await asyncio.sleep(2)
        assert worker.client.said["enter"] - before < 12
        gate.set()
        await worker.until_empty()


async def test_a_window_that_grew_is_used_although_it_was_asked_for_in_vain(
    store_url: str,
) -> None:
    gate = asyncio.Event()
    async with (
        Mx(gates={".": gate}) as server,
        Worker(store_url, at(server), Manner(limits=Limits(initial=1))) as worker,
    ):
        await worker.submit("u@a.example", 200)
        await worker.until(lambda: "." in server.commands)
        await asyncio.sleep(1.5)
        server.delays = {".": 0.1}
        gate.set()
        await worker.until(lambda: server.most_open > 5, patience=6)
        server.delays = {}
        await worker.until_empty()


async def test_unproven_sites_leave_half_of_the_table_to_those_that_answer(
    store_url: str,
) -> None:
    gate = asyncio.Event()
    table = TableOptions(attempts=8)
    async with Mx(gates={".": gate}) as slow, Mx() as well:
        routes = at(slow, *(f"s{n}.example" for n in range(9))) | at(well, "w.example")
        async with Worker(store_url, routes, Manner(table=table)) as worker:
            await worker.submit("u@w.example")
            await worker.until_empty()
            for n in range(9):
                await worker.submit(f"u@s{n}.example", 3)
            await worker.until(lambda: worker.dispatcher.table.unproven == 4)
            await worker.submit("u@w.example", 50)
            await worker.until(lambda: len(well.taken) == 51)
            assert worker.dispatcher.table.unproven <= 4
            gate.set()
            await worker.until_empty()
            await worker.until_at_rest()


@pytest.mark.parametrize(("slow_s", "most"), [(0.05, 2), (60.0, 8)], ids=["slow", "quick"])
async def test_sites_that_take_mail_slowly_share_a_quarter_of_the_table(
    store_url: str, slow_s: float, most: int
) -> None:
    """A tarpit takes mail in the end, too: that does not give it what quick sites have."""
    table = TableOptions(attempts=8, slow_s=slow_s)
    async with Mx(delays={".": 0.15}) as server, Mx() as well:
        names = [f"s{n}.example" for n in range(9)]
        routes = at(server, *names) | at(well, "new.example")
        async with Worker(store_url, routes, Manner(table=table)) as worker:
            for name in names:
                await worker.submit(f"u@{name}", 8)
            await worker.until(lambda: len({one.recipients for one in server.taken}) == 9)
            await worker.submit("u@new.example", 3)
            await worker.until(lambda: len(well.taken) == 3)
            await asyncio.sleep(0.2)
            jobs = 0
            while len(server.taken) < 72:
                jobs = max(jobs, worker.dispatcher.table.jobs)
                await asyncio.sleep(0.01)
            await worker.until_at_rest()
    assert jobs == most


async def test_content_that_is_missing_holds_its_delivery_and_no_other(store_url: str) -> None:
    async with Mx() as server, Worker(store_url, at(server)) as worker:
        worker.deaf = True
        bad, *good = await worker.submit("u@a.example", 10)
        await worker.client.read("DEL", worker.queue.keys.content(bad))
        worker.deaf = False
        worker.ring(["0/a.example"])
        await worker.until(lambda: len(server.taken) == 9)

        async def held() -> bool:
            return await worker.queue.place(f"{bad}.0") is Place.HELD

        await until(held)
        await worker.until_at_rest()
        await worker.queue.cancel(f"{bad}.0")
        assert [await worker.fates(one) for one in good] == [["delivered"]] * 9


async def test_a_chunk_that_is_missing_holds_its_delivery(store_url: str) -> None:
    async with Mx() as server, Worker(store_url, at(server)) as worker:
        worker.deaf = True
        [bad] = await worker.submit("u@a.example", content=b"x: y\r\n" * 100_000)
        await worker.client.read("DEL", worker.queue.keys.contents(bad, 3)[1])
        worker.deaf = False
        worker.ring(["0/a.example"])

        async def held() -> bool:
            return await worker.queue.place(f"{bad}.0") is Place.HELD

        await until(held)
        assert not server.taken
        await worker.until_at_rest()
        await worker.queue.cancel(f"{bad}.0")


async def test_a_delivery_that_is_cancelled_in_the_midst_is_sent_or_cancelled_never_both(
    store_url: str,
) -> None:
    gate = asyncio.Event()
    async with (
        Mx({".": "451 4.2.0 later"}, gates={".": gate}) as server,
        Worker(store_url, at(server)) as worker,
    ):
        [sent] = await worker.submit("u@a.example")
        await worker.until(lambda: "." in server.commands)
        assert await worker.queue.cancel(f"{sent}.0") == ["pending"]
        gate.set()
        await worker.until_empty()
        assert await worker.fates(sent) == ["cancelled"]
        await worker.until_at_rest()


async def test_what_was_not_begun_when_it_was_cancelled_is_not_sent(store_url: str) -> None:
    gate = asyncio.Event()
    manner = Manner(lease=2.0, limits=Limits(initial=1, connections=1))
    async with Mx(gates={".": gate}) as server, Worker(store_url, at(server), manner) as worker:
        ids = await worker.submit("u@a.example", 3)
        await worker.until(lambda: len(worker.dispatcher.hand) == 3)
        await worker.until(lambda: "." in server.commands)
        pending = [
            one
            for one in ids
            if any(
                job.lease.message == one and not job.attempted_at for job in worker.dispatcher.hand
            )
        ]
        assert pending
        await worker.queue.cancel(*(f"{one}.0" for one in pending))
        await worker.until(lambda: len(worker.dispatcher.hand) <= 3 - len(pending))
        gate.set()
        await worker.until_empty()
        assert [await worker.fates(one) for one in pending] == [["cancelled"]] * len(pending)
        assert len(server.taken) == 3 - len(pending)
        await worker.until_at_rest()


async def test_what_a_newer_version_wrote_is_left_alone_without_asking_all_the_time(
    store_url: str,
) -> None:
    async with Mx() as server, Worker(store_url, at(server)) as worker:
        worker.deaf = True
        [newer] = await worker.submit("u@a.example")
        value = await worker.queue.newer(f"{newer}.0")
        worker.deaf = False
        worker.ring(["0/a.example"])
        await worker.until(lambda: worker.client.said["lease"])
        before = worker.client.said["lease"]
        await asyncio.sleep(1.2)
        assert worker.client.said["lease"] - before <= 5
        await worker.client.read(
            "HSET", worker.queue.keys.deliveries, f"{newer}.0", b"\x01" + value[1:]
        )
        await worker.until_empty()
        assert len(server.taken) == 1


async def test_a_delivery_that_cannot_be_read_does_not_stop_its_queue(store_url: str) -> None:
    async with Mx() as server, Worker(store_url, at(server), Manner(lease=1.0)) as worker:
        worker.deaf = True
        bad, *good = await worker.submit("u@a.example", 10)
        keys = worker.queue.keys
        value = await worker.client.read("HGET", keys.deliveries, f"{bad}.0")
        stored = await worker.queue.stored(f"{bad}.0")
        assert stored is not None
        broken = value[: -len(stored.body)] + b"\xc1"
        await worker.client.read("HSET", keys.deliveries, f"{bad}.0", broken)
        worker.deaf = False
        worker.ring(["0/a.example"])
        await worker.until(lambda: len(server.taken) == 9)
        await worker.client.read("HDEL", keys.deliveries, f"{bad}.0")
        for key in (keys.leased, keys.age, keys.held):
            await worker.client.read("ZREM", key, f"{bad}.0")
        assert [await worker.fates(one) for one in good] == [["delivered"]] * 9
        worker.errors.clear()


async def test_where_mail_waits_long_at_hand_less_is_leased_ahead(store_url: str) -> None:
    """What was leased ahead cannot be overtaken by a tenant whose mail comes now."""
    limits = Limits(initial=1, connections=1)
    async with (
        Mx(delays={".": 0.15}) as server,
        Worker(store_url, at(server), Manner(limits=limits)) as worker,
    ):
        worker.deaf = True
        await worker.submit("u@a.example", 30)
        worker.deaf = False
        worker.ring(["0/a.example"])
        await worker.until(lambda: server.taken)
        [path] = worker.dispatcher._paths.values()
        path.ahead.jobs = 64
        await worker.until(lambda: path.ahead.jobs == 4)
        server.delays = {}
        await worker.until_empty()
