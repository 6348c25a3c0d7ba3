"""Sites that are down, slow or choosy: they cost no message an attempt and hold up nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.site import Manner, Site
from tests.support.source import Source, post, submit
from tests.support.system import System

LIMIT = 3
VARIABLES = {
    "RELAY_RETRY__FIRST": "1s",
    "RELAY_RETRY__LONGEST": "1s",
    "RELAY_DELIVERY__CONCURRENCY__LIMIT": str(LIMIT),
}


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[System]:
    """Four workers."""
    with System(site, VARIABLES, workers=4) as made:
        yield made


def test_a_site_that_is_not_available_is_left_alone_until_it_is_back(
    site: Site, system: System
) -> None:
    system.at("127.0.1.1", "full.test")
    site.manners["127.0.1.1"] = Manner(greeting="421 4.3.2 too busy")
    accepted = submit(system.port, *(post(f"full{n}", f"r{n}@full.test") for n in range(20)))
    system.until(lambda: "too busy" in system.parked("full.test"))
    assert system.attempts("full.test") == [0] * 20
    asked = site.traffic["127.0.1.1"].total
    assert asked < 10
    del site.manners["127.0.1.1"]
    system.until(lambda: accepted.keys() <= site.ids().keys())
    system.until_empty()
    assert {site.ids()[id_] for id_ in accepted} == {1}


def test_a_host_that_refuses_connections_costs_no_attempt(site: Site, system: System) -> None:
    system.at("127.0.1.2", "down.test")
    site.refuse("127.0.1.2")
    accepted = submit(system.port, *(post(f"down{n}", f"r{n}@down.test") for n in range(20)))
    system.until(lambda: "refused" in system.parked("down.test"))
    assert system.attempts("down.test") == [0] * 20
    site.listen("127.0.1.2")
    system.until(lambda: accepted.keys() <= site.ids().keys())
    system.until_empty()
    assert {site.ids()[id_] for id_ in accepted} == {1}


def test_four_workers_together_keep_to_a_sites_limit(site: Site, system: System) -> None:
    domains = [f"choosy{n}.test" for n in range(4)]
    system.at("127.0.1.3", *domains)
    site.manners["127.0.1.3"] = Manner(delay=0.02)
    posts = [post(f"choosy{n}", f"r{n}@{domains[n % 4]}") for n in range(400)]
    with Source(system.port, posts) as source:
        source.wait(30)
    system.until(lambda: source.accepted.keys() <= site.ids().keys())
    system.until_empty()
    assert site.traffic["127.0.1.3"].most <= LIMIT
    assert site.traffic["127.0.1.3"].most > 1
    assert {site.ids()[one.id] for one in posts} == {1}


def test_slow_sites_hold_up_nobody_else(site: Site, system: System) -> None:
    """20 tarpits with 50 messages each, before 1,000 messages to 200 healthy domains."""
    for n in range(20):
        system.at(f"127.0.2.{n + 1}", f"tar{n}.test")
        site.manners[f"127.0.2.{n + 1}"] = Manner(data_delay=3.0)
    sticky = [post(f"tar{n}", f"r{n}@tar{n % 20}.test") for n in range(1000)]
    healthy = [post(f"well{n}", f"r{n}@well{n % 200}.test") for n in range(1000)]
    with Source(system.port, sticky) as source:
        source.wait(30)
    with Source(system.port, healthy) as source:
        source.wait(30)
    system.until(lambda: source.accepted.keys() <= site.ids().keys(), seconds=15)
    ids = site.ids()
    assert sum(ids[one.id] for one in sticky) < 500, "the tarpits were none"
    for n in range(20):
        del site.manners[f"127.0.2.{n + 1}"]
    system.until(lambda: {one.id for one in sticky} <= site.ids().keys(), seconds=20)
    system.until_empty()
    assert max(site.traffic[f"127.0.2.{n + 1}"].most for n in range(20)) <= LIMIT


def test_a_rate_holds_for_all_workers_together(site: Site) -> None:
    rate = {"RELAY_DELIVERY__RATES__DELIVERIES": "120/min,max_burst=2"}
    with System(site, VARIABLES | rate, workers=2) as system:
        system.at("127.0.1.9", "paced.test")
        accepted = submit(system.port, *(post(f"paced{n}", f"r{n}@paced.test") for n in range(8)))
        system.until(lambda: accepted.keys() <= site.ids().keys())
    times = sorted(one.at for one in site.taken if one.id in accepted)
    # Two at once, then two a second: the eighth comes after three seconds, and not after many.
    assert 2.5 < times[-1] - times[0] < 10
    assert all(later - now > 0.9 for now, later in zip(times, times[3:], strict=False))
