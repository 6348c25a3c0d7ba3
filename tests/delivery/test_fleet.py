"""Several processes at one site: its connections are where its mail is."""

from __future__ import annotations

import asyncio

from msgspec import structs

from relay.delivery.table import PROVEN, TableOptions
from relay.policy.shaping import Limits
from tests.support.desk import Manner, Worker
from tests.support.mx import Mx

QUEUE = "0/a.example"
#: Long enough that nothing comes right by its deadline within a test.
MANNER = Manner(deadline=60.0, limits=Limits(initial=2, connections=2))
NARROW = Manner(deadline=60.0, limits=Limits(initial=1, connections=1))


def at(server: Mx) -> dict[str, str]:
    return {"a.example": f"127.0.0.1:{server.port}"}


async def test_who_has_all_connections_takes_the_mail_that_others_were_rung_for(
    store_url: str,
) -> None:
    gate = asyncio.Event()
    async with (
        Mx(gates={".": gate}, delays={".": 0.1}) as server,
        Worker(store_url, at(server), NARROW) as having,
        Worker(store_url, at(server), NARROW) as refused,
    ):
        await having.submit("u@a.example")
        await having.until(lambda: server.commands.count(".") == 1)
        having.deaf = True
        await having.submit("u@a.example", 5)
        refused.dispatcher.drain([QUEUE])
        await refused.until(lambda: refused.client.said["park"])
        refused.deaf = True
        gate.set()
        await having.until_empty(5)
        assert len(server.taken) == 6
        assert server.connections == 1


async def test_who_has_no_mail_for_its_connections_leaves_them_to_another_queue(
    store_url: str,
) -> None:
    gate = asyncio.Event()
    async with Mx(gates={".": gate}, delays={".": 0.1}) as server:
        routes = at(server) | {"b.example": f"127.0.0.1:{server.port}"}
        async with (
            Worker(store_url, routes, NARROW) as having,
            Worker(store_url, routes, NARROW) as refused,
        ):
            await having.submit("u@a.example")
            await having.until(lambda: server.commands.count(".") == 1)
            having.deaf = True
            await having.submit("u@b.example", 5)
            refused.dispatcher.drain(["0/b.example"])
            await refused.until(lambda: refused.client.said["park"])
            having.dispatcher._doorstep._ring = refused.ring
            gate.set()
            await refused.until_empty(5)
            assert len(server.taken) == 6
            assert refused.dispatcher.conclusions.count == 5


async def test_who_lacks_connections_that_another_process_has_rings_it(store_url: str) -> None:
    gate = asyncio.Event()
    gate.set()
    async with (
        Mx(gates={".": gate}) as server,
        Worker(store_url, at(server), MANNER) as having,
        Worker(store_url, at(server), MANNER) as lacking,
    ):
        await having.submit("u@a.example")
        await having.until_empty()
        assert server.open == 1
        having.deaf = lacking.deaf = True
        await having.submit("u@a.example", 20)
        gate.clear()
        lacking.dispatcher.drain([QUEUE])
        await lacking.until(lambda: lacking.rung[QUEUE], "nobody else was rung", patience=5)
        having.dispatcher.drain([QUEUE])
        gate.set()
        await having.until_empty(10)
        assert len(server.taken) == 21
        assert having.dispatcher.conclusions.count > 1
        assert server.most_open == 2


async def test_mail_that_finds_no_room_in_a_process_is_offered_to_others(store_url: str) -> None:
    gate = asyncio.Event()
    small = structs.replace(MANNER, table=TableOptions(attempts=2), limits=Limits(initial=10))
    async with (
        Mx(gates={".": gate}) as server,
        Worker(store_url, at(server), small) as full,
        Worker(store_url, at(server), structs.replace(small, table=TableOptions())) as free,
    ):
        full.deaf = True
        await full.submit("u@a.example", 10)
        full.rung.clear()
        full.dispatcher.drain([QUEUE])
        await full.until(lambda: full.rung[QUEUE], "nobody else was rung", patience=5)
        assert server.commands.count(".") == 1
        free.dispatcher.drain([QUEUE])
        await free.until(lambda: server.commands.count(".") > 4, patience=5)
        gate.set()
        await free.until_empty(5)
        assert len(server.taken) == 10


async def test_idle_sessions_for_whose_mail_there_is_no_room_make_way_for_others(
    store_url: str,
) -> None:
    gates = {".": asyncio.Event()}
    async with Mx(gates=gates) as server, Mx(gates=gates) as slow:
        routes = at(server) | {"b.example": f"127.0.0.1:{slow.port}"}
        small = structs.replace(MANNER, table=TableOptions(attempts=8))
        async with (
            Worker(store_url, routes, small) as full,
            Worker(store_url, routes, MANNER) as free,
        ):
            for recipient, host in (("u@a.example", server), ("u@b.example", slow)):
                await full.submit(recipient, 4)
                await full.until(lambda host=host: host.open == 2)  # type: ignore[misc]
                gates["."].set()
                await full.until_empty()
                gates["."].clear()
            await full.submit("u@b.example", 20)
            await full.until(lambda: not full.dispatcher.table.room(PROVEN))
            server.gates = {}
            full.deaf = True
            await full.submit("u@a.example", 6)
            full.dispatcher.drain([QUEUE])
            free.dispatcher.drain([QUEUE])
            full.dispatcher._doorstep._ring = free.ring
            await free.until(lambda: free.dispatcher.conclusions.count == 6, patience=5)
            gates["."].set()
            await full.until_empty(5)
            assert len(server.taken) == 10
