"""What is at hand: domains and tenants in turn, each first in, first out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from relay.delivery import ahead
from relay.delivery import path as path_module
from relay.delivery.at_hand import AtHand
from relay.delivery.job import Job
from relay.delivery.table import Standing
from relay.policy.shaping import Limits
from relay.store.leasing import Lease
from tests.support.desk import Manner, Worker
from tests.support.mx import Mx


def job(name: str, tenant: str = "", queue: str = "a.example") -> Job:
    """A job as far as its order goes."""
    lease = SimpleNamespace(id=name, queue=queue, tenant=tenant)
    return Job(cast(Lease, lease), cast("object", None), 0.0, Standing.PROVEN)  # type: ignore[arg-type]


def names(jobs: list[Job]) -> str:
    return " ".join(one.lease.id for one in jobs)


def taken(hand: AtHand) -> str:
    return names([hand.pop() for _ in range(len(hand))])


def test_tenants_and_domains_take_turns_and_each_keeps_its_order() -> None:
    hand = AtHand()
    for number in range(3):
        hand.append(job(f"x{number}", "x"))
    hand.append(job("y0", "y"))
    hand.append(job("b0", "x", "b.example"))
    hand.append(job("y1", "y"))
    assert len(hand) == len(list(hand)) == 6
    assert taken(hand) == "x0 y0 b0 x1 y1 x2"
    assert not hand


def test_what_comes_while_others_wait_goes_after_one_of_each() -> None:
    hand = AtHand()
    for number in range(100):
        hand.append(job(f"x{number}", "x"))
    hand.pop()
    hand.append(job("y", "y"))
    hand.pop()
    assert hand.pop().lease.id == "y"
    assert len(hand) == 98


def test_what_is_put_back_is_the_next() -> None:
    hand = AtHand()
    first, second = job("x0", "x"), job("x1", "x")
    for one in (first, second, job("y0", "y")):
        hand.append(one)
    hand.pop()
    hand.pop()
    hand.put_back(first)
    assert taken(hand) == "x0 x1"


def test_one_is_taken_out_of_the_midst() -> None:
    hand = AtHand()
    jobs = [job("x0", "x"), job("x1", "x"), job("y0", "y")]
    for one in jobs:
        hand.append(one)
    hand.remove(jobs[1])
    hand.remove(jobs[2])
    assert len(hand) == 1
    with pytest.raises(ValueError, match="not in deque"):
        hand.remove(jobs[2])
    assert names(hand.clear()) == "x0"
    assert not hand
    assert not list(hand)
    with pytest.raises(KeyError):
        hand.pop()


async def test_a_tenant_does_not_wait_behind_what_was_leased_for_another(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As much as can be is leased ahead, however slow the site is.
    monkeypatch.setattr(path_module, "WAIT", 60.0)
    monkeypatch.setattr(ahead, "PATIENCE", 60.0)
    limits = Limits(initial=1, connections=1)
    async with (
        Mx(delays={".": 0.05}) as server,
        Worker(store_url, {"a.example": f"127.0.0.1:{server.port}"}, Manner(limits=limits)) as one,
    ):
        await one.submit("bulk@a.example", 3, tenant="bulk")
        await one.until_empty()
        [path] = one.dispatcher._paths.values()
        path.ahead.jobs = 100
        await one.submit("bulk@a.example", 60, tenant="bulk")
        await one.until(lambda: len(path.supply) > 40)
        await one.submit("other@a.example", tenant="other")
        one.ring(["0/a.example"])
        came = len(server.taken)
        await one.until(lambda: any("other@" in each.recipients[0] for each in server.taken))
        assert len(server.taken) - came < 25, "leased when fifty are left at hand, it is the next"
        await one.until_empty()
