"""Several processes at one site: its connections are where its mail is."""

from __future__ import annotations

import asyncio

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
