"""What a worker does when the store goes away, errs or gives its work to others, and at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from relay.delivery.unroutable import RouteFailure
from relay.mail.reply import Reply
from relay.policy.shaping import Limits
from relay.store.codec import Flag, Place
from tests.support.counted import Counted
from tests.support.desk import Manner, Worker
from tests.support.mx import Mx
from tests.support.queue import New
from tests.support.stored import Held
from tests.support.valkey import STORE_OPTIONS, ValkeyServer

ROUTE = "a.example"


@pytest.fixture
def own_store() -> Iterator[ValkeyServer]:
    """A store that a test may kill."""
    server = ValkeyServer(**STORE_OPTIONS).start()
    yield server
    server.remove()


def at(server: Mx, *domains: str) -> dict[str, str]:
    """Routes of these domains to a host."""
    return dict.fromkeys(domains or (ROUTE,), f"127.0.0.1:{server.port}")


async def away(store: ValkeyServer, seconds: float) -> None:
    """The store is killed, and comes back after a while."""
    await asyncio.to_thread(store.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(store.start)


@pytest.mark.parametrize("phase", ["CONNECT", "MAIL", "DATA", "."])
@pytest.mark.parametrize("seconds", [0.3, 2.5])
async def test_a_store_that_is_away_in_the_midst_loses_and_doubles_nothing(
    own_store: ValkeyServer, phase: str, seconds: float
) -> None:
    """For less and for more than the client's patience, while a host is waited for."""
    gate = asyncio.Event()
    async with (
        Mx(gates={phase: gate}) as server,
        Worker(own_store.url, at(server), Manner(lease=12.0)) as worker,
    ):
        ids = await worker.submit("u@a.example", 10)
        await worker.until(lambda: server.connections > 0)
        if phase != "CONNECT":
            await worker.until(lambda: any(said.startswith(phase) for said in server.commands))
        fallen = asyncio.create_task(away(own_store, seconds))
        await asyncio.sleep(0.1)
        gate.set()
        await fallen
        await worker.until_empty(30)
        assert [await worker.fates(one) for one in ids] == [["delivered"]] * 10
        assert len(server.taken) == 10
        await worker.until_at_rest()


async def test_a_ring_while_the_store_is_away_is_made_good_when_it_is_back(
    own_store: ValkeyServer,
) -> None:
    async with Mx() as server, Worker(own_store.url, at(server)) as worker:
        worker.deaf = True
        await worker.submit("u@a.example", 10)
        await asyncio.to_thread(own_store.kill)
        worker.deaf = False
        worker.ring(["0/a.example"])
        await asyncio.sleep(1.5)
        await asyncio.to_thread(own_store.start)
        await worker.until_empty()
        assert len(server.taken) == 10
        await worker.until_at_rest()


async def test_errors_of_the_store_stop_nothing_for_good(store_url: str) -> None:
    """Whatever each call answers while a key has the wrong type, all goes on afterwards."""
    async with Mx() as server, Worker(store_url, at(server), Manner(lease=1.5)) as worker:
        keys, read = worker.queue.keys, worker.client.read
        worker.deaf = True
        await worker.submit("u@a.example", 20)
        for key in (keys.deliveries, keys.wake, keys.ready):
            await read("RENAME", key, key + ".aside")
            await read("SET", key, "not what it was")
        paths = f"relay:{{s:|127.0.0.1:{server.port}}}:"
        await read("SET", paths + "conns", "neither")
        worker.deaf = False
        for _ in range(5):
            worker.ring(["0/a.example"])
            await worker.dispatcher.tend()
            await asyncio.sleep(0.3)
        for key in (keys.deliveries, keys.wake, keys.ready):
            await read("DEL", key)
            await read("RENAME", key + ".aside", key)
        await asyncio.sleep(0.3)
        await read("DEL", paths + "conns")
        await worker.until_empty()
        assert len(server.taken) == 20
        assert worker.heartbeat._thread.is_alive()
        await worker.until_at_rest()
        worker.errors.clear()


async def test_a_lease_that_was_lost_before_the_final_dot_sends_none(store_url: str) -> None:
    gate = asyncio.Event()
    async with (
        Mx(gates={"DATA": gate}) as server,
        Worker(store_url, at(server), Manner(lease=1.5)) as worker,
    ):
        [lost] = await worker.submit("u@a.example")
        await worker.until(lambda: "DATA" in server.commands)
        other = await take_away(worker, lost)
        await worker.until(lambda: not len(worker.dispatcher.book))
        gate.set()
        await worker.until(lambda: not len(worker.dispatcher.hand))
        assert not server.taken
        assert await worker.queue.extend(other) == ["kept"]
        await worker.until_at_rest()
        worker.deaf = False
        await worker.queue.release(other)
        await worker.until_empty()
        assert len(server.taken) == 1


async def test_an_outcome_of_a_lost_lease_changes_nothing(store_url: str) -> None:
    gate = asyncio.Event()
    async with Mx(gates={".": gate}) as server, Worker(store_url, at(server)) as worker:
        [lost] = await worker.submit("u@a.example")
        await worker.until(lambda: "." in server.commands)
        other = await take_away(worker, lost)
        gate.set()
        await worker.until(lambda: worker.client.said["settle"])
        await worker.dispatcher.conclusions.settler.drained()
        assert await worker.queue.extend(other) == ["kept"]
        assert await worker.fates(lost) == []
        await worker.until_at_rest()
        assert await worker.queue.settle(other) == ["settled"]
        assert await worker.fates(lost) == ["delivered"]


async def test_a_lease_that_was_settled_a_moment_ago_is_not_called_lost(store_url: str) -> None:
    """The heartbeat's question may be answered between a settle and the reading of its answer."""
    gate = asyncio.Event()
    lost = Counted("relay_leases_lost_total")
    async with Mx(gates={".": gate}) as server, Worker(store_url, at(server)) as worker:
        [message] = await worker.submit("u@a.example")
        await worker.until(lambda: "." in server.commands)
        book = worker.dispatcher.book
        [lease] = book.leases()
        gate.set()
        while not book.is_settling(lease):
            assert book.holds(lease)
            await asyncio.sleep(0)
        worker.dispatcher.lost(lease)
        assert book.holds(lease)
        await worker.until_empty()
        assert await worker.fates(message) == ["delivered"]
        assert lost.more == 0


async def take_away(worker: Worker, message: str) -> Held:
    """As if the worker had been cut off: the lease of another one."""
    queue = worker.queue
    worker.deaf = True
    stored = await queue.stored(f"{message}.0")
    assert stored is not None
    await queue.expire(Held(f"{message}.0", stored.fence, stored.holder))
    await queue.reclaim()
    [other] = await queue.lease(holder="another")
    return other


async def test_a_worker_that_ends_gives_everything_back(store_url: str) -> None:
    """What waits, what is loaded, what is before its final dot; connections too."""
    gate = asyncio.Event()
    manner = Manner(limits=Limits(initial=2, connections=2))
    async with (
        Mx(gates={"DATA": gate}) as server,
        Worker(store_url, at(server), manner) as worker,
    ):
        ids = await worker.submit("u@a.example", 12)
        for _ in range(2):
            await worker.queue.admitted(New(flags=Flag.ALONE))
        await worker.until(lambda: server.commands.count("DATA") == 2)
        await worker.stop(0.5)
        await worker.until_at_rest()
        assert await worker.connections() == 0
        leased = await worker.queue.scores(worker.queue.keys.leased)
        assert not leased
        stored = [await worker.queue.stored(f"{one}.0") for one in ids]
        assert {(one.place, one.attempts) for one in stored if one} == {(Place.READY, 0)}
        assert not server.taken


async def test_what_is_after_its_final_dot_at_the_end_is_settled_as_in_doubt(
    store_url: str,
) -> None:
    gate = asyncio.Event()
    async with Mx(gates={".": gate}) as server, Worker(store_url, at(server)) as worker:
        [one] = await worker.submit("u@a.example")
        await worker.until(lambda: "." in server.commands)
        await worker.stop(0.3)
        await worker.until_at_rest()
        assert await worker.connections() == 0
        assert await worker.queue.place(f"{one}.0") is Place.LATER
        assert (await worker.queue.record(one))["p"] == b"1"


async def test_a_worker_ends_in_its_time_while_the_store_is_away(
    own_store: ValkeyServer,
) -> None:
    """And hears the answers to its final dots: they are offered until it must go."""
    gate = asyncio.Event()
    manner = Manner(limits=Limits(initial=1, connections=1), patience=30.0)
    async with Mx(gates={".": gate}) as server, Worker(own_store.url, at(server), manner) as worker:
        ids = await worker.submit("u@a.example", 10)
        await worker.until(lambda: "." in server.commands)
        await asyncio.to_thread(own_store.kill)
        ending = asyncio.create_task(worker.stop(3.0))
        await asyncio.sleep(0.2)
        gate.set()
        await worker.until(lambda: server.taken, patience=2)
        await worker.until(lambda: not server.open, patience=2)
        await asyncio.to_thread(own_store.start)
        await asyncio.wait_for(ending, 10)
        await worker.until_at_rest()
        fates = [fate for one in ids for fate in await worker.fates(one)]
        assert fates == ["delivered"] * len(server.taken)
        assert not await worker.queue.scores(worker.queue.keys.leased)


async def test_a_domain_that_cannot_be_looked_up_rests_longer_each_time(store_url: str) -> None:
    failure = RouteFailure(Reply(451, "4.4.3", "no answer"), permanent=False)
    async with Worker(store_url, {}) as worker:
        rests: list[int] = []
        for _ in range(3):
            worker.dispatcher.nowhere.take((0, "a.example"), failure)
            key = "relay:{s:|?a.example}:state"
            await until_state(worker, key, len(rests) + 1)
            rests.append(int(await worker.client.read("HGET", key, "pause")))
            await asyncio.sleep(rests[-1] / 1000 + 0.05)
        assert rests == [300, 600, 600]


async def until_state(worker: Worker, key: str, deaths: int) -> None:
    async with asyncio.timeout(5):
        while int(await worker.client.read("HGET", key, "deaths") or 0) < deaths:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
