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

#: Seconds that a process may be late; and on a busy machine as much as new messages take, so many
#: times over: for the store, the pump, the path and the transaction.
_SLACK, _TRIPS = 1.0, 4
#: Seconds that a restart may delay a message. One of so many restarts must show it: what the
#: product did would show in each, what else the machine does would not.
_LATEST_S, _TRIES = 2.0, 3


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Two workers with leases of two seconds."""
    with Site() as site, Stage(site, workers=2, services=False) as made:
        yield made


@pytest.fixture
def patient() -> Iterator[Stage]:
    """Two workers whose leases outlast whatever a busy machine does to their heartbeats."""
    lease = {"RELAY_LEASE__SECONDS": "20s"}
    with Site() as site, Stage(site, lease, workers=2, services=False) as made:
        yield made


def test_a_dead_workers_deliveries_are_attempted_again_within_two_leases(stage: Stage) -> None:
    taken = len(stage.hosts.taken)
    posts = [post(f"over{n}", f"r{n}@over{n}.test") for n in range(40)]
    slow = {f"over{n}.test": Manner(delay=4 * LEASE_S) for n in range(40)}
    stage.hosts.manners |= slow
    submit(stage.port, *posts)
    stage.until(lambda: len(stage.hosts.ids()) == 40)
    for domain in slow:
        del stage.hosts.manners[domain]
    others = (post(f"meanwhile{n}", f"r{n}@meanwhile{n % 9}.test") for n in range(100_000))
    died_at = time.monotonic()
    stage.kill_one(stage.alive()[0])
    with Source(stage.port, others, connections=2, rate=20) as source:
        time.sleep(2 * LEASE_S)
        source.enough()
        source.wait(30)
    stage.until(lambda: done(stage), lambda: stage.left())
    every = stage.hosts.taken[taken:]
    again = [one.at - died_at for one in every[40:] if one.id not in source.accepted]
    # How late new messages are meanwhile is the machine's doing.
    late = max(one.at - source.accepted_at[one.id] for one in every if one.id in source.accepted_at)
    assert len(again) == stage.reclaimed() > 0
    assert max(again) <= 2 * LEASE_S + _SLACK + _TRIPS * late, f"others came {late:.2f} s late"
    assert min(again) >= LEASE_S / 2, "a lease was taken before its time"


def test_a_rolling_restart_under_load_delays_no_message_for_long_and_doubles_none(
    patient: Stage,
) -> None:
    latest = []
    for number in range(_TRIES):
        latest.append(rolling_restart(patient, f"roll{number}x"))
        if latest[-1] <= _LATEST_S:
            break
    assert min(latest) <= _LATEST_S, f"the latest were {latest} s late"


def rolling_restart(stage: Stage, name: str) -> float:
    """Each worker replaced, under load; how late the latest message came."""
    taken, reclaimed = len(stage.hosts.taken), stage.reclaimed()
    posts = (post(f"{name}{n}", f"r{n}@roll{n % 50}.test") for n in range(100_000))
    with Source(stage.port, posts, rate=100) as source:
        stage.until(lambda: len(source.accepted) > 100)
        for old in stage.alive():
            stage.start_worker()
            old.terminate()
            assert old.wait(30) == 0
        stage.workers = stage.alive()
        source.enough()
        source.wait(30)
    stage.until(lambda: stage.left().get("deliveries", 0) == 0)
    verdict = check(stage.store, stage.hosts, [source], taken)
    verdict.assert_kept()
    assert not verdict.doubled
    # A machine that stands still may cost an attempt, which is counted; nothing was sent twice.
    assert verdict.possible <= 1
    assert stage.reclaimed() == reclaimed, "somebody waited for a lease to end"
    times = {one.id: one.at for one in stage.hosts.taken[taken:]}
    return max(at - source.accepted_at[id_] for id_, at in times.items())
