"""Deliveries under which leases were lost are begun one by one, and the store knows which."""

from __future__ import annotations

import asyncio

import pytest

from relay.store.codec import Flag, Place
from tests.support.desk import Manner, Worker
from tests.support.mx import Mx
from tests.support.queue import New
from tests.support.stored import Held


def at(server: Mx, *domains: str) -> dict[str, str]:
    return dict.fromkeys(domains or ("a.example",), f"127.0.0.1:{server.port}")


async def suspect(worker: Worker) -> str:
    value = await worker.client.read("HGET", worker.queue.keys.suspects, worker.holder)
    return value.decode().partition(" ")[0] if value else ""


async def admitted(worker: Worker, queue: str, losses: int = 0) -> str:
    """A delivery whose lease was lost, begun, by a worker that died; its id."""
    store = worker.queue
    message = await store.admitted(New(queue=queue, recipients=(f"u@{queue}",)))
    for _ in range(losses + 1):
        [lease] = await store.lease(queue, holder="dead")
        await store.begin(Held(lease.id, lease.fence, "dead"))
        await store.expire(lease)
        await store.reclaim()
    return f"{message}.0"


async def test_the_next_one_begins_when_the_one_before_is_in_a_session(store_url: str) -> None:
    gate = asyncio.Event()
    domains = ("a.example", "b.example")
    async with (
        Mx(gates={".": gate}) as server,
        Worker(store_url, at(server, *domains)) as worker,
    ):
        for domain in domains:
            await worker.queue.admitted(
                New(queue=domain, flags=Flag.ALONE, recipients=(f"u@{domain}",))
            )
        worker.ring([f"0/{domain}" for domain in domains])
        await worker.until(lambda: server.commands.count(".") == 2)
        async with asyncio.timeout(5):
            while await suspect(worker):  # noqa: ASYNC110 - the store is asked
                await asyncio.sleep(0.01)
        gate.set()
        await worker.until_empty()
        assert worker.client.said["begin"] == 3, "each of them, and then none"
        await worker.until_at_rest()


async def test_one_under_grave_suspicion_has_the_worker_to_itself_until_its_attempt_ended(
    store_url: str,
) -> None:
    gate = asyncio.Event()
    manner = Manner(lease=3.0)
    async with (
        Mx(gates={".": gate}) as server,
        Worker(store_url, at(server, "a.example", "b.example", "c.example"), manner) as worker,
    ):
        worker.deaf = True
        grave = await admitted(worker, "a.example", losses=2)
        other = await admitted(worker, "b.example")
        stored = await worker.queue.stored(grave)
        assert stored is not None
        assert stored.suspicion == 3
        [well] = await worker.submit("u@c.example")
        worker.deaf = False
        worker.ring(["0/a.example"])
        await worker.until(lambda: server.commands.count(".") == 1)
        worker.ring(["0/b.example", "0/c.example"])
        await worker.until(lambda: server.commands.count(".") == 2)
        await asyncio.sleep(0.5)
        assert await suspect(worker) == grave
        waiting = await worker.queue.stored(other)
        assert waiting is not None
        assert waiting.place is Place.LEASED
        assert Flag.BEGUN not in waiting.flags
        gate.set()
        await worker.until_empty()
        assert await worker.fates(well) == ["delivered"]
        await worker.until_at_rest()


async def test_grave_ones_come_last(store_url: str) -> None:
    domains = ("a.example", "b.example", "c.example")
    async with Mx() as server, Worker(store_url, at(server, *domains)) as worker:
        worker.deaf = True
        await admitted(worker, "a.example", losses=2)
        await admitted(worker, "b.example", losses=2)
        await admitted(worker, "c.example")
        worker.deaf = False
        worker.ring([f"0/{domain}" for domain in domains])
        await worker.until_empty()
        assert len(server.taken) == 3
        assert server.taken[-1].recipients != ("u@c.example",)


@pytest.mark.parametrize("newer", [True, False], ids=["newer", "broken"])
async def test_what_cannot_be_read_is_given_back_or_held(store_url: str, newer: bool) -> None:
    async with Mx() as server, Worker(store_url, at(server), Manner(lease=1.0)) as worker:
        worker.deaf = True
        [one] = await worker.submit("u@a.example")
        keys, id_ = worker.queue.keys, f"{one}.0"
        value = await worker.client.read("HGET", keys.deliveries, id_)
        stored = await worker.queue.stored(id_)
        assert stored is not None
        body = stored.body
        at_version = 3 if body[0] == 0xDC else 1  # an array of more than 15 has a longer header
        assert body[at_version] == 1
        other = b"\x7f" if newer else b"\xc1"
        await worker.client.read(
            "HSET",
            keys.deliveries,
            id_,
            value[: -len(body)] + body[:at_version] + other + body[at_version + 1 :],
        )
        worker.deaf = False
        worker.ring(["0/a.example"])
        place = Place.READY if newer else Place.HELD

        async def there() -> bool:
            return worker.client.said["lease"] > 0 and await worker.queue.place(id_) is place

        async with asyncio.timeout(10):
            while not await there():  # noqa: ASYNC110 - the store is asked
                await asyncio.sleep(0.02)
        assert not server.taken
        value = await worker.client.read("HGET", keys.deliveries, id_)
        await worker.client.read("HSET", keys.deliveries, id_, value[: -len(body)] + body)
        if not newer:
            await worker.queue.unhold(id_)
        worker.ring(["0/a.example"])
        await worker.until_empty()
        assert len(server.taken) == 1
