"""How soon others go on with what a worker had in hand, dead or told to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.ledger import check
from tests.faults.row import done
from tests.faults.stage import LEASE_S, Stage
from tests.support.site import Manner, Site
from tests.support.source import Source, post, submit

#: Seconds that a process may be late on a busy machine.
_SLACK = 1.0
_LATEST_S = 2.0


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Two workers with leases of two seconds."""
    with Site() as site, Stage(site, workers=2, services=False) as made:
        yield made


def test_a_dead_workers_deliveries_are_attempted_again_within_two_leases(stage: Stage) -> None:
    posts = [post(f"over{n}", f"r{n}@over{n}.test") for n in range(40)]
    slow = {f"over{n}.test": Manner(delay=4 * LEASE_S) for n in range(40)}
    stage.hosts.manners |= slow
    submit(stage.port, *posts)
    stage.until(lambda: len(stage.hosts.ids()) == 40)
    for domain in slow:
        del stage.hosts.manners[domain]
    died_at = time.monotonic()
    stage.kill_one(stage.alive()[0])
    stage.until(lambda: done(stage), lambda: stage.left())
    again = [one.at - died_at for one in stage.hosts.taken[40:]]
    assert len(again) == stage.reclaimed() > 0
    assert max(again) <= 2 * LEASE_S + _SLACK
    assert min(again) >= LEASE_S / 2, "a lease was taken before its time"
    stage.ready()


def test_a_rolling_restart_under_load_delays_no_message_for_long_and_doubles_none(
    stage: Stage,
) -> None:
    taken = len(stage.hosts.taken)
    posts = (post(f"roll{n}", f"r{n}@roll{n % 50}.test") for n in range(100_000))
    with Source(stage.port, posts, rate=100) as source:
        stage.until(lambda: len(source.accepted) > 100)
        for old in stage.alive():
            stage.start_worker()
            old.terminate()
            assert old.wait(10) == 0
        stage.workers = stage.alive()
        source.enough()
        source.wait(10)
    stage.until(lambda: stage.left().get("deliveries", 0) == 0, seconds=10)
    times = {one.id: one.at for one in stage.hosts.taken[taken:]}
    late = {id_: at - source.accepted_at[id_] for id_, at in times.items()}
    assert max(late.values()) <= _LATEST_S
    verdict = check(stage.store, stage.hosts, [source], taken)
    verdict.assert_kept()
    assert not verdict.doubled
    assert not verdict.possible
