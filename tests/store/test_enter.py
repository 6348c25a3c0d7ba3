"""Entering an egress path: connections and deliveries that hold for the whole fleet."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from relay.policy.shaping import Limits, Rate
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.script import Text, script
from relay.store.wire import ReplyError
from tests.support.paths import KEYS, PATH, Worker, dead_time_is_over, expire, field, now_ms
from tests.support.valkey import ValkeyServer

ENTER_KEYS = [KEYS.conns, KEYS.state, KEYS.rates, KEYS.waiting, KEYS.drawn("w")]


def usual(number: int, /, *tokens: str, **changes: Text) -> list[Text]:
    """ARGV of a usual call, by the names of its header."""
    named: dict[str, Text] = {
        "seq": number,
        "queue": "0/a.example",
        "wanted": 50,
        "lease_ms": 30_000,
        "grant_ms": 10_000,
        "connections": 20,
        "initial": 2,
        "delivery_every": 0,
        "delivery_burst": 1,
        "connection_every": 0,
        "connection_burst": 1,
        "held": 0,
    }
    return [*(named | changes).values(), *tokens]


async def said(client: StoreClient, argv: list[Text]) -> Any:
    return await client.call(script("enter"), ENTER_KEYS, argv)


async def test_a_new_path_grants_its_initial_window(client: StoreClient) -> None:
    grant = await Worker(client, "a").enter("a1", "a2", "a3")
    assert (grant.path, grant.state, grant.fresh, grant.held) == (PATH, "open", ("a1", "a2"), ())
    assert (grant.deliveries, grant.again_ms, grant.waiters) == (50, 10_000, 0)
    assert (grant.window, grant.in_use, grant.probe, grant.reply) == (2, 2, "", "")


async def test_what_others_hold_is_not_granted_and_the_refused_queue_waits(
    client: StoreClient,
) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    refused = await b.enter("b1")
    assert (refused.fresh, refused.deliveries, refused.waiters) == ((), 0, 1)
    assert 29_000 < refused.again_ms <= 30_000
    assert (await a.enter(held=("a1", "a2"))).waiters == 1
    assert await client.read("ZRANGE", KEYS.waiting, 0, -1) == [b"0/b"]


async def test_a_queue_that_came_in_waits_no_longer(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    assert (await b.enter("b1")).waiters == 1
    await expire(client, "a2")
    assert (await b.enter("b1")).waiters == 0
    assert await client.read("EXISTS", KEYS.waiting) == 0


async def test_a_token_that_is_not_renewed_frees_its_connection(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    await expire(client, "a2")
    assert (await b.enter("b1", "b2")).fresh == ("b1",)
    renewed = await a.enter(held=("a1", "a2"))
    assert renewed.held == ("a1", "a2"), "an open connection counts up to the limit, not the window"
    assert renewed.in_use == 3


async def test_an_open_connection_whose_place_is_taken_is_to_be_closed(client: StoreClient) -> None:
    limits = Limits(connections=2)
    a, b = Worker(client, "a", limits), Worker(client, "b", limits)
    await a.enter("a1", "a2")
    await expire(client, "a2")
    await b.enter("b1")
    assert (await a.enter(held=("a1", "a2"))).held == ("a1",)
    assert await client.read("ZSCORE", KEYS.conns, "a2") is None


async def test_a_lowered_limit_is_reached_by_not_renewing(client: StoreClient) -> None:
    wide = Limits(connections=6, initial=6)
    a = Worker(client, "a", wide)
    tokens = tuple(f"a{n}" for n in range(6))
    assert (await a.enter(*tokens)).fresh == tokens
    a.limits = Limits(connections=4, initial=6)
    narrow = await a.enter(held=tokens)
    assert (narrow.held, narrow.in_use) == (tokens[:4], 6)
    assert (await a.leave("a4", "a5")).in_use == 4


async def test_said_twice_it_gives_the_same_tokens(client: StoreClient) -> None:
    first = await said(client, usual(1, "t1", "t2", "t3"))
    again = await said(client, usual(1, "t1", "t2", "t3"))
    assert first == again == [b"open", 0, 2, 50, 10_000, 0, 2, 2, b"-", b"-"]


async def test_said_twice_it_draws_from_the_rates_once(client: StoreClient) -> None:
    rates: dict[str, Text] = {
        "delivery_every": 60_000_000,
        "delivery_burst": 70,
        "connection_every": 60_000_000,
        "connection_burst": 2,
    }
    first = await said(client, usual(1, "t1", **rates))
    arrivals = await client.read("HGETALL", KEYS.rates)
    again = await said(client, usual(1, "t1", **rates))
    assert first == again
    assert first[2:4] == [1, 50]
    assert await client.read("HGETALL", KEYS.rates) == arrivals
    later = await said(client, usual(2, "t1", held=1, **rates))
    assert later[1:4] == [1, 0, 20]


async def test_a_rate_in_which_nothing_is_free_says_when_something_will_be(
    client: StoreClient,
) -> None:
    limits = Limits(initial=2, delivery_rate=Rate(60, 3600, burst=3))
    a = Worker(client, "a", limits)
    assert (await a.enter("a1")).deliveries == 3
    spent = await a.enter(held=("a1",))
    assert (spent.held, spent.deliveries) == (("a1",), 0)
    assert 30_000 < spent.again_ms <= 60_000
    late = await Worker(client, "b", limits).enter("b1")
    assert (late.fresh, late.deliveries, late.waiters) == ((), 0, 0)
    assert 30_000 < late.again_ms <= 60_000


async def test_connections_are_opened_no_faster_than_their_rate(client: StoreClient) -> None:
    limits = Limits(initial=10, connection_rate=Rate(1, 60, burst=2))
    a = Worker(client, "a", limits)
    assert (await a.enter("a1", "a2", "a3")).fresh == ("a1", "a2")
    assert (await a.enter("a3", held=("a1", "a2"))).held == ("a1", "a2"), "renewing draws nothing"
    late = await Worker(client, "b", limits).enter("b1")
    assert (late.fresh, late.waiters) == ((), 0)
    assert 58_000 < late.again_ms <= 60_000


async def test_a_rate_is_exact_for_several_workers(client: StoreClient) -> None:
    limits = Limits(connections=50, initial=50, delivery_rate=Rate(1000, 1, burst=20))
    workers = [Worker(client, f"w{n}", limits) for n in range(4)]
    begun = time.monotonic()
    for worker in workers:
        await worker.enter(f"{worker.name}t", deliveries=0)
    passed = 0
    while passed < 300:
        asks = [w.enter(held=(f"{w.name}t",), deliveries=7) for w in workers]
        passed += sum(grant.deliveries for grant in await asyncio.gather(*asks))
    # However seldom a busy machine asks, there never is more.
    assert passed <= 20 + (time.monotonic() - begun) * 1000 + 1


async def test_what_a_grant_did_not_need_goes_back_to_the_rate(client: StoreClient) -> None:
    limits = Limits(initial=2, delivery_rate=Rate(50, 3600), connection_rate=Rate(2, 3600))
    a = Worker(client, "a", limits)
    assert (await a.enter("a1", "a2")).deliveries == 50
    await a.leave("a1", "a2", unused=49, unopened=2)
    b = Worker(client, "b", limits)
    # The moments that it took are not given back, so the last one is not whole.
    grant = await b.enter("b1", "b2")
    assert grant.fresh[:1] == ("b1",)
    assert 48 <= grant.deliveries <= 49


async def test_nothing_is_given_back_that_was_not_drawn(client: StoreClient) -> None:
    limits = Limits(initial=2, delivery_rate=Rate(50, 3600))
    a = Worker(client, "a", limits)
    await a.enter("a1", deliveries=10)
    await a.leave(unused=500)
    await a.leave(unused=500)
    assert 49 <= (await a.enter(held=("a1",))).deliveries <= 50


async def test_time_that_has_passed_is_not_given_back_twice(client: StoreClient) -> None:
    limits = Limits(initial=2, delivery_rate=Rate(10, 10))
    a = Worker(client, "a", limits)
    await a.enter("a1", deliveries=10)
    now = await now_ms(client)
    # Five seconds ago it drew ten; five have come free since, and others drew three. Had it drawn
    # nothing, seven would be left of a full burst.
    await client.command("HSET", KEYS.rates, "deliveries", (now + 8_000) * 1000)
    await client.command("SET", KEYS.drawn("a"), f"1 {now - 5_000} 10 1")
    await a.leave(unused=10)
    assert (await a.enter(held=("a1",))).deliveries == 7


async def test_a_dead_path_grants_nothing_new_and_says_why(client: StoreClient) -> None:
    a = Worker(client, "a")
    await a.enter("a1", "a2")
    await a.leave("a2", failures=2, reply="421 4.3.2 not now")
    grant = await a.enter("a3", held=("a1",))
    assert (grant.state, grant.held, grant.fresh, grant.deliveries) == ("dead", ("a1",), (), 0)
    assert grant.reply == "421 4.3.2 not now"
    assert 59_000 < grant.again_ms <= 60_000


async def test_one_connection_of_the_whole_fleet_is_the_probe(
    client: StoreClient, any_server: ValkeyServer
) -> None:
    await Worker(client, "z").leave(failures=2, reply="gone")
    await dead_time_is_over(client)
    clients = [StoreClient(Address.parse(any_server.url)) for _ in range(8)]
    await asyncio.gather(*(one.start() for one in clients))
    workers = [Worker(one, f"w{n}") for n, one in enumerate(clients)]
    grants = await asyncio.gather(*(worker.enter(f"{worker.name}t") for worker in workers))
    await asyncio.gather(*(one.close() for one in clients))
    assert {grant.state for grant in grants} == {"probe"}
    [probing] = [grant for grant in grants if grant.fresh]
    assert probing.fresh == (probing.probe,)
    assert [grant.deliveries for grant in grants if grant.deliveries] == [1]
    refused = [grant for grant in grants if not grant.fresh]
    assert max(grant.waiters for grant in refused) == 7
    assert all(20_000 < grant.again_ms <= 30_000 for grant in refused)


async def test_a_probe_said_again_stays_the_probe_and_a_dead_prober_frees_it(
    client: StoreClient,
) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.leave(failures=2)
    await dead_time_is_over(client)
    assert (await a.enter("a1")).probe == "a1"
    assert (await a.enter(held=("a1",))).probe == "a1"
    assert (await b.enter("b1")).probe == ""
    await expire(client, "a1")
    assert (await b.enter("b1")).probe == "b1"


async def test_an_open_connection_can_be_the_probe(client: StoreClient) -> None:
    limits = Limits(connections=1, initial=1)
    a, b = Worker(client, "a", limits), Worker(client, "b", limits)
    await a.enter("a1")
    await b.leave(failures=1)
    await dead_time_is_over(client)
    assert (await b.enter("b1")).probe == "", "the only connection is in use"
    grant = await a.enter(held=("a1",))
    assert (grant.probe, grant.deliveries) == ("a1", 1)


async def test_connections_outlive_one_absence_of_all_workers(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    await expire(client, "a1", "a2")
    await client.command("HSET", KEYS.state, "seen", await now_ms(client) - 40_000)
    refused = await b.enter("b1")
    assert refused.fresh == (), "the clock jumped or the store was away: the holders renew first"
    assert 5_000 < refused.again_ms <= 10_001
    await expire(client, "a1", "a2")
    await client.command("HSET", KEYS.state, "seen", await now_ms(client) - 40_000)
    assert (await b.enter("b1")).fresh == ("b1",), "but not a second time: they are dead"


@pytest.mark.parametrize("ahead", [40_000, 10**9])
async def test_a_clock_that_went_back_keeps_no_connection_longer_than_a_lease(
    client: StoreClient, ahead: int
) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    now = await now_ms(client)
    await client.command("ZADD", KEYS.conns, now + ahead, "a1", now + ahead, "a2")
    await client.command("HSET", KEYS.state, "seen", now + ahead, "grace", now + ahead)
    assert (await b.enter("b1")).again_ms <= 30_001
    score = float(await client.read("ZSCORE", KEYS.conns, "a1"))
    assert now < score <= await now_ms(client) + 30_000
    assert await field(client, "seen") <= await now_ms(client)


async def test_a_clock_that_went_back_lengthens_no_pause_and_no_rate(client: StoreClient) -> None:
    limits = Limits(initial=2, delivery_rate=Rate(10, 10))
    a = Worker(client, "a", limits)
    far = await now_ms(client) + 10**9
    await a.enter("a1")
    await client.command("HSET", KEYS.rates, "deliveries", far * 1000)
    assert (await a.enter(held=("a1",))).again_ms <= 1_000
    await a.leave("a1", failures=2)
    await client.command("HSET", KEYS.state, "until", far)
    assert (await a.enter("a2")).again_ms <= 60_000


async def test_no_more_connections_than_the_limit_in_a_race(
    client: StoreClient, any_server: ValkeyServer
) -> None:
    limits = Limits(connections=5, initial=5)
    open_now, most, turns = 0, 0, 0
    clients = [StoreClient(Address.parse(any_server.url)) for _ in range(4)]
    await asyncio.gather(*(one.start() for one in clients))

    async def work(worker: Worker) -> None:
        nonlocal open_now, most, turns
        for turn in range(40):
            tokens = [f"{worker.name}.{turn}.{n}" for n in range(3)]
            grant = await worker.enter(*tokens)
            open_now += len(grant.fresh)
            most = max(most, open_now)
            turns += bool(grant.fresh)
            await worker.enter(held=grant.fresh)
            open_now -= len(grant.fresh)
            await worker.leave(*grant.fresh, successes=len(grant.fresh))

    workers = [Worker(one, f"w{k}.{n}", limits) for k, one in enumerate(clients) for n in range(3)]
    await asyncio.gather(*map(work, workers))
    await asyncio.gather(*(one.close() for one in clients))
    assert 3 <= most <= 5
    assert turns >= 5


async def test_a_full_store_still_lets_deliveries_begin(client: StoreClient) -> None:
    await client.command("CONFIG", "SET", "maxmemory", "1")
    assert (await Worker(client, "a").enter("a1")).fresh == ("a1",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": ""},
        {"wanted": "x"},
        {"wanted": -1},
        {"queue": ""},
        {"lease_ms": 0},
        {"connections": 0},
        {"initial": "x"},
        {"delivery_every": ""},
        {"connection_burst": 0},
        {"held": 2},
        {"held": -1},
    ],
    ids=str,
)
async def test_wrong_arguments_are_refused_before_anything_is_written(
    client: StoreClient, wrong: dict[str, Text]
) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await said(client, usual(1, "t1", **wrong))
    with pytest.raises(ReplyError, match="no token"):
        await said(client, usual(1, "@0/b.example"))
    assert await client.read("DBSIZE") == 0


async def test_every_key_of_a_path_has_a_time_to_live(client: StoreClient) -> None:
    limits = Limits(connections=2, delivery_rate=Rate(10, 1), connection_rate=Rate(10, 1))
    a, b = Worker(client, "a", limits), Worker(client, "b", limits)
    await a.enter("a1", "a2")
    await b.enter("b1")
    await b.enter("b1", queue="0/other")
    await a.leave("a2", successes=1)
    keys = await client.read("KEYS", "*")
    assert len(keys) == 6
    lives = await asyncio.gather(*(client.read("PTTL", key) for key in keys))
    assert all(0 < life <= 2 * 3_600_000 for life in lives)
