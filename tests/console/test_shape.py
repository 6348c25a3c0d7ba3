"""The queue by age, on a real store."""

from __future__ import annotations

from relay.cli import shape as shown
from relay.console.shape import Shape, State, column
from relay.store.client import StoreClient
from relay.store.control import Control
from relay.store.gauges import AGES
from tests.support.printed import printed
from tests.support.queue import MINUTE, New, QueueStore


async def aged(
    queue: QueueStore, minutes: float, *, domain: str = "a.example", lane: str = "n"
) -> str:
    message = await queue.admitted(New(queue=domain, lane=lane))
    accepted = await queue.now() - int(minutes * MINUTE)
    await queue.set_score(queue.keys.age, f"{message}.0", accepted)
    return message


def test_an_age_is_counted_in_the_first_column_that_it_does_not_exceed() -> None:
    assert column(0) == 0
    assert column(5 * MINUTE) == 0
    assert column(5 * MINUTE + 1) == 1
    assert column(1280 * MINUTE) == 8
    assert column(1281 * MINUTE) == len(AGES)


async def test_a_row_for_each_domain_with_most_first(
    queue: QueueStore, client: StoreClient
) -> None:
    for minutes in (1, 7, 30):
        await aged(queue, minutes)
    await aged(queue, 3000, domain="old.example")
    view = await Shape(client, 1).read()
    assert (view.deliveries, view.names, view.sampled, view.looked_at) == (4, 2, False, 4)
    assert view.ages == (1, 1, 0, 1, 0, 0, 0, 0, 0, 1)
    assert [(row.name, row.deliveries) for row in view.rows] == [
        ("a.example", 3),
        ("old.example", 1),
    ]
    assert view.rows[1].ages == (0,) * 9 + (1,)
    assert len((await Shape(client, 1).read(limit=1)).rows) == 1


async def test_a_row_for_each_tenant(queue: QueueStore, client: StoreClient) -> None:
    await aged(queue, 1, lane="nacme")
    await aged(queue, 1, lane="hacme", domain="b.example")
    await aged(queue, 1)
    view = await Shape(client, 1).read(by="tenant")
    assert [(row.name, row.deliveries) for row in view.rows] == [("acme", 2), ("", 1)]


async def test_each_state_is_counted_by_itself(queue: QueueStore, client: StoreClient) -> None:
    await queue.admitted(New(queue="later.example", due_ms=await queue.now() + MINUTE))
    await queue.admitted(New(queue="leased.example"))
    await queue.lease("leased.example")
    await queue.admitted(New(queue="waiting.example"))
    # Held as a whole, by domain and by tenant, as well as one by one.
    await queue.admitted(New(queue="paused.example"))
    await queue.admitted(New(queue="tenant.example", lane="nacme"))
    control = Control(client, 1)
    await control.hold(await queue.admitted(New(queue="held.example")))
    await control.hold_queue("paused.example")
    await control.hold_tenant("acme")

    async def of(state: State) -> list[str]:
        view = await Shape(client, 1).read(state=state)
        return [row.name for row in view.rows]

    assert await of("deferred") == ["later.example"]
    assert await of("leased") == ["leased.example"]
    assert await of("waiting") == ["waiting.example"]
    assert await of("held") == ["held.example", "paused.example", "tenant.example"]
    assert len(await of("all")) == 6


async def test_a_sample_stands_for_all_and_says_so(queue: QueueStore, client: StoreClient) -> None:
    for number in range(400):
        await aged(queue, 1 if number < 300 else 30, domain=f"d{number % 2}.example")
    view = await Shape(client, 1).read(sample=200)
    assert view.sampled
    assert view.looked_at < 100
    # The ages are exact, as each was counted; the rows are estimates.
    assert view.ages == (300, 0, 0, 100, 0, 0, 0, 0, 0, 0)
    assert {row.name for row in view.rows} == {"d0.example", "d1.example"}
    assert all(150 <= row.deliveries <= 250 for row in view.rows)
    assert "estimated from" in printed(shown.shape(view))


async def test_the_table_is_that_of_qshape(queue: QueueStore, client: StoreClient) -> None:
    assert printed(shown.shape(await Shape(client, 1).read(state="held"))) == "Nothing is held.\n"
    await aged(queue, 7)
    lines = printed(shown.shape(await Shape(client, 1).read())).splitlines()
    assert lines[0].split() == ["T", *(str(age // 60) for age in AGES), "1280+"]
    assert lines[2].split() == ["TOTAL", "1", "0", "1", *["0"] * 8]
    assert lines[3].split() == ["a.example", "1", "0", "1", *["0"] * 8]
    assert lines[-1].strip() == "minutes since acceptance; 1 domain"
