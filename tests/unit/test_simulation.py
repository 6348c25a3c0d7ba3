"""A small world is simulated: what the scheduler owes to every mail, an hour in seconds."""

from __future__ import annotations

import pytest

from tests.bench.simulate import summary
from tests.bench.simulate.fleet import Fleet
from tests.bench.simulate.record import Record
from tests.bench.simulate.world import World, world

_DAY = 24 * 3600 * 1000
_HOUR = 3600 * 1000


def simulated(messages: int, domains: int, *, troubled: bool = True) -> tuple[World, Record]:
    scene, record = world(messages, domains, hour_ms=_HOUR, troubled=troubled), Record()
    Fleet(scene, record).run(_DAY)
    return scene, record


@pytest.fixture(scope="module")
def run() -> tuple[World, Record]:
    return simulated(40_000, 1000)


def test_every_message_has_exactly_one_outcome(run: tuple[World, Record]) -> None:
    scene, record = run
    assert record.final == sum(one.messages for one in scene.senders)
    # One recipient in a hundred does not exist, and nothing else is given up.
    assert (record.bounced, record.expired) == (record.final // 100, 0)


def test_no_site_ever_gets_more_than_its_limits(run: tuple[World, Record]) -> None:
    _, record = run
    assert record.beyond == 0


def test_campaigns_share_a_site_by_their_weights(run: tuple[World, Record]) -> None:
    scene, record = run
    assert record.shared["slow.test"].total() > summary.ENOUGH
    assert summary.fairness(scene, record) > 0.999


def test_a_site_that_is_away_is_asked_a_few_times_an_hour(run: tuple[World, Record]) -> None:
    scene, record = run
    away = [site for site, host in scene.hosts.items() if host.kind == "outage"]
    assert away
    # Half an hour of 1, 2, 4, 8 and 15 minutes' rests, and the first connections of a window.
    assert max(record.failed[site] for site in away) <= 10


def test_mail_for_sites_that_are_well_does_not_wait_for_the_others() -> None:
    _, record = simulated(20_000, 500)
    _, calm = simulated(20_000, 500, troubled=False)
    assert record.well.quantile(0.99) <= 2 * calm.well.quantile(0.99)
    assert record.well.quantile(0.99) < 5000


def test_a_window_grows_to_what_a_site_takes_and_mail_leaves_nearly_as_fast_as_it_can(
    run: tuple[World, Record],
) -> None:
    scene, record = run
    for row in summary.rows(scene, record):
        if row.kind in ("fast", "few", "slow"):
            assert row.drained_min < row.soonest_min + 3
