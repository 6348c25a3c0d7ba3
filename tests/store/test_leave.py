"""Leaving an egress path: what the site's answers teach, and who may come in next."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from relay.policy.shaping import Limits, Rate
from relay.store.client import StoreClient
from relay.store.paths import Path, Paths
from relay.store.script import Text, script
from relay.store.wire import ReplyError
from tests.support.paths import KEYS, PATH, Worker, dead_time_is_over, expire, field, now_ms

LEAVE_KEYS = [KEYS.conns, KEYS.state, KEYS.rates, KEYS.waiting, KEYS.drawn("w"), KEYS.told("w")]


def usual(number: int, /, *tokens: str, **changes: Text) -> list[Text]:
    """ARGV of a usual call, by the names of its header."""
    named: dict[str, Text] = {
        "seq": number,
        "lease_ms": 30_000,
        "connections": 20,
        "initial": 2,
        "successes": 0,
        "failures": 0,
        "reply": "",
        "unused": 0,
        "unopened": 0,
        "delivery_every": 0,
        "connection_every": 0,
        "cohorts": 1,
        "first_pause": 60_000,
        "longest_pause": 900_000,
        "prompt": 0,
    }
    return [*(named | changes).values(), *tokens]


async def said(client: StoreClient, argv: list[Text]) -> Any:
    return await client.call(script("leave"), LEAVE_KEYS, argv)


async def test_a_connection_given_back_is_free_at_once(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    left = await a.leave("a1")
    assert (left.state, left.window, left.in_use, left.again_ms) == ("open", 2, 1, 0)
    assert (left.waiters, left.queues) == (0, ())
    assert (await b.enter("b1")).fresh == ("b1",)


async def test_a_window_grows_by_one_for_each_window_of_successes(client: StoreClient) -> None:
    a = Worker(client, "a", Limits(connections=20, initial=5))
    tokens = ("a1", "a2", "a3", "a4", "a5")
    await a.enter(*tokens)
    assert (await a.leave(successes=4)).window == 5
    assert (await a.leave(successes=1)).window == 6
    assert (await a.leave(successes=6)).window == 7
    assert (await a.leave(successes=1000)).window == 10, "five in use and five initial: no more"


async def test_a_prompt_site_that_never_failed_gets_one_more_for_each_answer(
    client: StoreClient,
) -> None:
    a = Worker(client, "a", Limits(connections=20, initial=5))
    await a.enter("a1", "a2", "a3", "a4", "a5")
    assert (await a.leave(successes=3, prompt=2)).window == 7
    assert (await a.leave(successes=6, prompt=0)).window == 8, "one and six sevenths"
    assert (await a.leave(successes=50, prompt=50)).window == 10, "no more than are used"
    grant = await a.enter(*(f"b{n}" for n in range(9)), held=("a1", "a2", "a3", "a4", "a5"))
    assert len(grant.fresh) == 5
    assert (await a.leave(successes=50, prompt=50)).window == 15
    assert (await a.leave(failures=1)).window == 5, "nobody knows by how much it was too large"
    assert (await a.leave(successes=4, prompt=4)).window == 5, "it is known to have limits"
    assert (await a.leave(successes=1, prompt=1)).window == 6
    assert (await a.leave(failures=1)).window == 5, "by one from now on"


async def test_a_site_that_was_dead_is_opened_slowly_however_prompt(client: StoreClient) -> None:
    a = Worker(client, "a", Limits(connections=20, initial=5))
    await a.enter("a1", "a2", "a3", "a4", "a5")
    for _ in range(5):
        left = await a.leave(failures=1)
    assert left.state == "dead"
    await dead_time_is_over(client)
    await a.enter("p1")
    assert (await a.leave(successes=1, prompt=1)).window == 5
    assert (await a.leave(successes=4, prompt=4)).window == 5
    assert (await a.leave(successes=1, prompt=1)).window == 6


async def test_more_prompt_answers_than_answers_are_refused(client: StoreClient) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await said(client, usual(1, successes=1, prompt=2))


async def test_a_window_grows_no_further_than_the_limit(client: StoreClient) -> None:
    a = Worker(client, "a", Limits(connections=3, initial=3))
    await a.enter("a1", "a2", "a3")
    assert (await a.leave(successes=1000)).window == 3


async def test_a_window_shrinks_with_the_first_failure_and_then_by_windowfuls(
    client: StoreClient,
) -> None:
    a = Worker(client, "a", Limits(connections=20, initial=10, failed_cohorts=5))
    windows = [(await a.leave(failures=1)).window for _ in range(11)]
    assert windows == [9] * 9 + [8, 8]


async def test_a_refused_size_is_approached_ten_times_slower(client: StoreClient) -> None:
    a = Worker(client, "a", Limits(connections=20, initial=5))
    await a.enter("a1", "a2", "a3", "a4", "a5")
    assert (await a.leave(failures=1)).window == 4
    assert (await a.leave(successes=39)).window == 4
    assert (await a.leave(successes=1)).window == 5
    assert (await a.leave(successes=50)).window == 6, "and once it is left behind, as before"
    assert (await a.leave(successes=6)).window == 7


async def test_a_window_of_failures_without_a_success_makes_the_path_dead(
    client: StoreClient,
) -> None:
    a = Worker(client, "a", Limits(initial=2))
    assert (await a.leave(failures=1)).state == "open"
    dead = await a.leave(failures=1, reply="no route to host")
    assert (dead.state, dead.window) == ("dead", 2)
    assert 59_900 < dead.again_ms <= 60_000


async def test_a_success_among_failures_keeps_the_path_open(client: StoreClient) -> None:
    a = Worker(client, "a")
    for _ in range(5):
        assert (await a.leave(failures=1)).state == "open"
        assert (await a.leave(successes=1)).state == "open"
    assert (await a.leave(successes=1, failures=1000)).state == "open"


async def test_failures_of_the_probe_double_the_pause_up_to_the_longest(
    client: StoreClient,
) -> None:
    a = Worker(client, "a")
    await a.leave(failures=2)
    pauses = []
    for turn in range(6):
        await dead_time_is_over(client)
        assert (await a.enter(f"a{turn}")).probe == f"a{turn}"
        pauses.append((await a.leave(f"a{turn}", failures=1)).again_ms)
    assert [round(pause / 1000) for pause in pauses] == [120, 240, 480, 900, 900, 900]


async def test_a_successful_probe_opens_the_path_with_its_initial_window(
    client: StoreClient,
) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.leave(failures=2)
    await dead_time_is_over(client)
    await a.enter("a1")
    for n in range(3):
        await b.enter("b1", queue=f"0/{n}")
    left = await a.leave(successes=1)
    assert (left.state, left.window, left.queues) == ("open", 2, ("0/0",))
    assert (await a.enter(held=("a1",))).deliveries == 50
    await a.leave(failures=1)
    assert 59_000 < (await a.leave(failures=1)).again_ms <= 60_000, "the pause begins anew"


async def test_a_probe_given_back_untried_goes_to_a_waiting_queue(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.leave(failures=2)
    await dead_time_is_over(client)
    await a.enter("a1")
    await b.enter("b1")
    left = await a.leave("a1")
    assert (left.state, left.queues) == ("probe", ("0/b",))
    assert (await b.enter("b1")).probe == "b1"


async def test_old_news_neither_wake_nor_kill_a_path(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await b.enter("b1")
    await a.leave(failures=2)
    until = await field(client, "until")
    assert (await a.leave(failures=2)).state == "dead"
    assert (await b.leave(successes=5)).state == "dead"
    assert await field(client, "until") == until
    await dead_time_is_over(client)
    await a.enter("a1")
    assert (await b.leave("b1", failures=3)).state == "probe", "not the probe's failure"


async def test_said_twice_it_counts_once_and_names_the_same_queues(client: StoreClient) -> None:
    a, b = Worker(client, "w"), Worker(client, "b")
    await a.enter("t1", "t2")
    await b.enter("b1", queue="0/one")
    await b.enter("b1", queue="0/two")
    first = await said(client, usual(1, "t1", "t2", successes=1, reply=""))
    again = await said(client, usual(1, "t1", "t2", successes=1, reply=""))
    assert first == again == [b"open", 2, 2, 0, 0, b"0/one", b"0/two"]
    assert await field(client, "success") == 0.5
    await said(client, usual(2, failures=1))
    await said(client, usual(2, failures=1))
    await said(client, usual(1, failures=1))
    assert await field(client, "cohorts") == 0.5


async def test_what_was_not_needed_goes_back_once(client: StoreClient) -> None:
    limits = Limits(initial=2, delivery_rate=Rate(1, 3600, burst=100))
    await Worker(client, "w", limits).enter("t1")
    every: dict[str, Text] = {"delivery_every": 3_600_000_000}
    drawn = float(await client.read("HGET", KEYS.rates, "deliveries"))
    await said(client, usual(1, unused=10, **every))
    back = float(await client.read("HGET", KEYS.rates, "deliveries"))
    assert 0 <= 10 * 3600 - (drawn - back) / 1e6 < 5
    await said(client, usual(1, unused=10, **every))
    await said(client, usual(2, unused=10, **every))
    assert float(await client.read("HGET", KEYS.rates, "deliveries")) == back


async def test_a_connection_is_kept_for_the_queue_that_waited_longest(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    await b.enter("b1")
    await a.enter("a3", queue="0/later")
    left = await a.leave("a1")
    assert (left.queues, left.waiters, left.in_use) == (("0/b",), 1, 2)
    assert (await a.enter("a3", queue="0/later")).fresh == (), "it is kept for b"
    assert (await b.enter("b1")).fresh == ("b1",)


async def test_a_connection_is_not_kept_for_long(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    await b.enter("b1")
    await a.leave("a1")
    refused = await a.enter("a3", queue="0/other")
    assert refused.fresh == ()
    assert 100 <= refused.again_ms <= 3_001
    await expire(client, "@0/b")
    assert (await a.enter("a3", queue="0/other")).fresh == ("a3",)


async def test_a_window_that_grew_lets_waiting_queues_in(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    await b.enter("b1")
    left = await a.leave(successes=2)
    assert (left.window, left.queues) == (3, ("0/b",))


async def test_queues_take_turns_on_a_path_with_one_connection(client: StoreClient) -> None:
    limits = Limits(connections=1, initial=1)
    workers = {f"0/{name}": Worker(client, name, limits) for name in "abcde"}
    due = deque(workers)
    served: list[str] = []
    for turn in range(60):
        queue = due.popleft()
        token = f"{queue}{turn}"
        if (await workers[queue].enter(token)).fresh:
            served.append(queue)
            # Its grant is over and it has more: others wait, so it gives up and asks anew.
            for other in workers:
                if other != queue:
                    await workers[other].enter(f"{other}{turn}")
            left = await workers[queue].leave(token, successes=1)
            due.extend((*left.queues, queue))
    counts = [served.count(queue) for queue in workers]
    # Those that began to wait in the same millisecond are served by their names.
    assert max(counts) - min(counts) <= 2
    assert len(served) >= 25


async def test_a_queue_that_met_a_clock_ahead_is_not_left_waiting(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    await b.enter("b1")
    now = await now_ms(client)
    await client.command("ZADD", KEYS.waiting, now + 10**9, "0/b")
    for n in range(60):
        await b.enter("b1", queue=f"0/{n:02d}")
    await a.leave("a1")
    score = await client.read("ZSCORE", KEYS.waiting, "0/b")
    assert float(score) <= await now_ms(client)


async def test_a_site_that_takes_five_connections_refuses_few(client: StoreClient) -> None:
    """Postfix's experiment (SCHEDULER_README): it measured 16.5 % refused with its best feedback.

    A delivery is a connection; one ends in each step, and as many begin as the fleet may.
    """
    workers = deque(Worker(client, f"w{n}", Limits(connections=20, initial=5)) for n in range(4))
    at_site: deque[tuple[Worker, str]] = deque()
    accepted = refused = 0
    for step in range(600):
        worker = workers[0]
        workers.rotate(1)
        tokens = [f"{worker.name}.{step}.{n}" for n in range(20)]
        for token in (await worker.enter(*tokens)).fresh:
            if len(at_site) < 5:
                accepted += 1
                at_site.append((worker, token))
            else:
                refused += 1
                await worker.leave(token, failures=1, reply="421 too many connections")
        done, token = at_site.popleft()
        assert (await done.leave(token, successes=1)).state == "open"
    assert accepted >= 600
    assert refused / (accepted + refused) < 0.05


async def test_it_runs_at_maxmemory(client: StoreClient) -> None:
    limits = Limits(initial=2, delivery_rate=Rate(100, 1))
    a, b = Worker(client, "a", limits), Worker(client, "b", limits)
    await a.enter("a1", "a2")
    await b.enter("b1")
    await client.command("CONFIG", "SET", "maxmemory", "1")
    for _ in range(2):
        left = await a.leave("a1", successes=3, failures=1, reply="421 busy", unused=7)
    assert left.in_use == 1
    assert await field(client, "reply") == b"421 busy"


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": "x"},
        {"lease_ms": 0},
        {"connections": 0},
        {"initial": ""},
        {"successes": -1},
        {"failures": "x"},
        {"unused": -1},
        {"unopened": -1},
        {"delivery_every": "x"},
        {"cohorts": 0},
        {"first_pause": 0},
        {"longest_pause": ""},
    ],
    ids=str,
)
async def test_wrong_arguments_are_refused_before_anything_is_written(
    client: StoreClient, wrong: dict[str, Text]
) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await said(client, usual(1, "t1", **wrong))
    assert await client.read("DBSIZE") == 0


async def test_a_long_reply_is_cut(client: StoreClient) -> None:
    await Worker(client, "a").leave(failures=1, reply="4" * 5_000)
    assert await client.read("HSTRLEN", KEYS.state, "reply") == 200


async def test_the_console_sees_each_path(client: StoreClient) -> None:
    a, b = Worker(client, "a"), Worker(client, "b")
    await a.enter("a1", "a2")
    await b.enter("b1")
    since = float(await client.read("ZSCORE", KEYS.waiting, "0/b"))
    paths = Paths(client, "console")
    unknown = Path("", "elsewhere.example")
    [state, nothing] = await paths.states([PATH, unknown])
    assert (state.state, state.window, state.in_use, state.until_ms) == ("open", None, 2, 0)
    assert (state.waiters, state.waiting) == (1, (("0/b", int(since)),))
    assert (nothing.path, nothing.window, nothing.in_use) == (unknown, None, 0)
    await a.leave("a1", "a2", failures=2, reply="421 later")
    await expire(client, "@0/b")
    [state] = await paths.states([PATH])
    assert (state.state, state.window, state.in_use, state.reply) == ("dead", 2, 0, "421 later")
    assert 59_000 < state.until_ms - await now_ms(client) <= 60_000
