"""What the fleet tells of itself, on each kind of server."""

from __future__ import annotations

import time

import pytest

from relay.store.client import StoreClient
from relay.store.roster import Foremost, Roster
from relay.store.script import script
from relay.store.wire import ReplyError


async def test_what_all_workers_met_is_added_up(client: StoreClient) -> None:
    one, two = Roster(client, "one"), Roster(client, "two")
    await one.report({"a.example": 5, "b.example": 1}, {"t": 1})
    await two.report({"b.example": 6, "c.example": 2}, {})
    await two.report({"c.example": 1}, {"u": 2})
    found = await Roster(client).foremost(2)
    assert found == Foremost(("b.example", "a.example"), ("u", "t"))
    assert await one.workers() == 2


async def test_nothing_is_foremost_where_none_is_wanted_or_told(client: StoreClient) -> None:
    assert await Roster(client).foremost(20) == Foremost((), ())
    await Roster(client, "one").report({"a.example": 5}, {})
    assert await Roster(client).foremost(0) == Foremost((), ())


async def test_equal_ones_are_in_the_same_order_for_everybody(client: StoreClient) -> None:
    await Roster(client, "one").report({"b.example": 1, "a.example": 1}, {})
    assert (await Roster(client).foremost(1)).sites == ("a.example",)


async def test_what_carried_most_an_hour_ago_is_still_there_and_later_is_not(
    client: StoreClient,
) -> None:
    span = int(time.time()) // 1800
    await client.command("ZINCRBY", f"relay:{{fleet}}:sites:{span - 2}", 9, "dead.example")
    await client.command("ZINCRBY", f"relay:{{fleet}}:sites:{span - 4}", 99, "old.example")
    await Roster(client, "one").report({"a.example": 1}, {})
    sites = (await Roster(client).foremost(5)).sites
    assert sites == ("dead.example", "a.example")


async def test_who_is_silent_does_not_work(client: StoreClient) -> None:
    await Roster(client, "one").report({}, {})
    await client.command("ZADD", "relay:{fleet}:workers", int(time.time() - 40) * 1000, "dead")
    assert await Roster(client).workers() == 1


async def test_a_report_said_twice_counts_once(client: StoreClient) -> None:
    keys = [f"relay:{{fleet}}:{name}" for name in ("workers", "sites:1", "tenants:1", "told:me")]
    for _ in range(2):
        answer = await client.call(script("report"), keys, ["me", 7, 10, 1, "a", 3, "t", 2])
        assert answer == [b"told"]
    assert int(await client.read("ZSCORE", keys[1], "a")) == 3
    assert int(await client.read("ZSCORE", keys[2], "t")) == 2


async def test_of_many_names_those_that_carry_least_are_forgotten(client: StoreClient) -> None:
    keys = [f"relay:{{fleet}}:{name}" for name in ("workers", "sites:1", "tenants:1", "told:me")]
    names = [word for n in range(20) for word in (f"{n:02d}", n + 1)]
    await client.call(script("report"), keys, ["me", 1, 5, 20, *names])
    kept = await client.read("ZRANGE", keys[1], 0, -1)
    assert kept == [b"15", b"16", b"17", b"18", b"19"]


async def test_more_names_than_a_report_may_have_are_cut_to_the_first(client: StoreClient) -> None:
    many = {f"{n}.example": n for n in range(1000)}
    await Roster(client, "one").report(many, many)
    assert (await Roster(client).foremost(1)).sites == ("999.example",)


async def test_a_report_is_taken_by_a_full_store(client: StoreClient) -> None:
    await client.command("CONFIG", "SET", "maxmemory", "1")
    await Roster(client, "one").report({"a.example": 5}, {})
    assert await Roster(client).workers() == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["me", 1, 5],
        ["me", "x", 5, 0],
        ["me", 1, 0, 0],
        ["me", 1, 5, 1, "a", "x"],
        ["me", 1, 5, 2, "a", 1],
    ],
)
async def test_arguments_that_make_no_sense_change_nothing(
    client: StoreClient, arguments: list[str | int]
) -> None:
    keys = [f"relay:{{fleet}}:{name}" for name in ("workers", "sites:1", "tenants:1", "told:me")]
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await client.call(script("report"), keys, arguments)
    assert await client.read("DBSIZE") == 0
