"""Lists: pages of deliveries from the queue's own indexes, each of a bounded look."""

from __future__ import annotations

import pytest

from relay.store.client import StoreClient
from relay.store.listing import Listing, Wanted, Where
from relay.store.paging import MOST_LOOKS, Page
from tests.support.queue import MINUTE, New, QueueStore


@pytest.fixture
def listing(client: StoreClient) -> Listing:
    return Listing(client, 1)


async def every(listing: Listing, wanted: Wanted, limit: int = 7) -> list[str]:
    """The ids of all pages."""
    cursor, ids = "", []
    for _ in range(1000):
        page = await listing.page(wanted, cursor, limit)
        assert len(page.items) <= limit
        ids += [item.id for item in page.items]
        cursor = page.cursor
        if not cursor:
            return ids
    raise AssertionError("the pages do not end")


async def test_each_place_is_listed_by_itself(queue: QueueStore, listing: Listing) -> None:
    due = await queue.now() + MINUTE
    leased = await queue.admitted(New())
    await queue.lease()
    later = await queue.admitted(New(due_ms=due))
    held = await queue.admitted(New())
    await queue.hold(held + ".0")
    ready = await queue.admitted(New())
    found = {
        where: await every(listing, Wanted(where=where)) for where in Where if where != Where.FINAL
    }
    assert found == {
        Where.ALL: [f"{one}.0" for one in (leased, later, held, ready)],
        Where.LATER: [later + ".0"],
        Where.READY: [ready + ".0"],
        Where.LEASED: [leased + ".0"],
        Where.HELD: [held + ".0"],
    }


async def test_pages_have_each_delivery_once(queue: QueueStore, listing: Listing) -> None:
    deliveries = tuple(New(queue=f"{n % 3}.example", lane=f"n{n % 2}") for n in range(50))
    message = await queue.admitted(*deliveries)
    names = [f"{message}.{n}" for n in range(50)]
    for limit in (1, 7, 50):
        assert sorted(await every(listing, Wanted(), limit)) == sorted(names)
    one = Wanted(where=Where.READY, domain="1.example")
    assert sorted(await every(listing, one)) == sorted(names[1::3])
    tenant = Wanted(where=Where.READY, domain="1.example", tenant="1")
    assert sorted(await every(listing, tenant)) == sorted(names[1::6])
    assert sorted(await every(listing, Wanted(tenant="0"))) == sorted(names[::2])
    assert sorted(await every(listing, Wanted(where=Where.READY, tenant="0"))) == sorted(names[::2])


async def test_times_bound_a_list(queue: QueueStore, listing: Listing) -> None:
    at = await queue.now()
    first = await queue.admitted(New())
    assert await every(listing, Wanted(since_ms=at, until_ms=at + MINUTE)) == [first + ".0"]
    assert await every(listing, Wanted(since_ms=at + MINUTE)) == []
    assert await every(listing, Wanted(until_ms=at)) == []


async def test_a_page_looks_at_no_more_than_it_may(queue: QueueStore, listing: Listing) -> None:
    for _ in range(50):
        await queue.admitted(*(New(lane="nother") for _ in range(50)))
    mine = await queue.admitted(New(lane="nmine"))
    page = await listing.page(Wanted(tenant="mine"), "", 10)
    assert page.items == ()
    assert page.cursor
    # What it tells of where it is names nobody else's delivery.
    assert page.cursor.replace("/", "").replace("+", "").isdecimal()
    assert await every(listing, Wanted(tenant="mine")) == [mine + ".0"]
    assert MOST_LOOKS < 2500


@pytest.mark.parametrize("cursor", ["x", "1/5+1", "0/a", "0/1+", "0/ ", "99999/1+1", "-1/1+1"])
async def test_a_cursor_that_no_page_gave_is_refused(listing: Listing, cursor: str) -> None:
    with pytest.raises(ValueError, match="none that a page gave"):
        await listing.page(Wanted(), cursor, 10)


async def test_an_empty_store_has_one_empty_page(listing: Listing) -> None:
    assert await listing.page(Wanted(), "", 10) == Page((), "")


async def test_a_domain_is_listed_with_all_its_queues(queue: QueueStore, listing: Listing) -> None:
    own = ["a.example", "a.example!requiretls", "a.example!tls-optional"]
    names = [*own, "a.example2", "b.example"]
    ids = {
        name: [f"{await queue.admitted(New(queue=name, lane=f'n{n % 2}'))}.0" for n in range(5)]
        for name in names
    }
    expected = sorted(one for name in own for one in ids[name])
    for limit in (1, 4, 50):
        for where in (Where.READY, Where.ALL):
            wanted = Wanted(where=where, domain="a.example")
            assert sorted(await every(listing, wanted, limit)) == expected
        tenant = Wanted(where=Where.READY, domain="a.example", tenant="0")
        found = await every(listing, tenant, limit)
        assert sorted(found) == sorted(one for name in own for one in ids[name][::2])
