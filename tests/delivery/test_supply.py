"""Leases for many paths at once, from a real store."""

from __future__ import annotations

import asyncio
from functools import partial

from relay.delivery.book import LeaseBook
from relay.delivery.supply import Leaser, Want
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.leasing import Grant, LeaseOptions, Leasing
from tests.support.queue import New, QueueStore


async def test_who_came_too_late_for_a_call_is_first_in_the_next(store_url: str) -> None:
    """A call grants 50: of 40 queues that want 4 each, 12 get theirs. Nobody is sent away."""
    client = StoreClient(Address.parse(store_url))
    await client.start()
    queue = QueueStore(client)
    names = [f"d{number}.example" for number in range(40)]
    for name in names:
        for _ in range(4):
            await queue.admitted(New(queue=name))
    order: list[tuple[str, int]] = []
    every = asyncio.Event()

    def granted(name: str, grant: Grant | None) -> None:
        assert grant is not None
        order.append((name, len(grant.leases)))
        if len(order) == len(names):
            every.set()

    leaser = Leaser(Leasing(client, 1, "w1", LeaseOptions()), LeaseBook(30.0))
    for name in names:
        leaser.ask(Want(0, name, 4, partial(granted, name)))
    async with asyncio.timeout(10):
        await every.wait()
    await leaser.close()
    await client.close()
    assert [name for name, _ in order] == names
    assert all(count for _, count in order)
