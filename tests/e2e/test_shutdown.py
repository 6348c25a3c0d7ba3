"""Workers that are told to stop hand everything back: nothing is lost, and nothing doubled."""

from __future__ import annotations

import pytest

from tests.support.site import Manner, Site
from tests.support.source import Source, post
from tests.support.system import System, freeze, thaw

SLOW = {"RELAY_RETRY__FIRST": "1s", "RELAY_WORKER__GRACE": "8s"}


@pytest.mark.parametrize(
    "manner",
    [
        pytest.param(Manner(data_delay=1.0), id="before the content"),
        pytest.param(Manner(delay=1.0), id="after the final dot"),
    ],
)
def test_what_a_stopping_worker_has_in_hand_is_finished_or_handed_back(manner: Manner) -> None:
    posts = [post(f"m{n}", f"r{n}@d{n % 10}.test") for n in range(100)]
    with Site() as site, System(site, SLOW) as system:
        site.manners["127.0.0.1"] = manner
        with Source(system.port, posts) as source:
            source.wait(20)
        system.until(lambda: system.left().get("leased"))
        system.until(lambda: site.traffic["127.0.0.1"].open >= 10)
        system.workers[0].terminate()
        assert system.workers[0].wait() == 0
        left = system.left()
        assert "leased" not in left
        assert left.get("ready", 0) == left.get("deliveries", 0)
        assert site.traffic["127.0.0.1"].open == 0
        assert system.connections() == 0
        del site.manners["127.0.0.1"]
        system.start_worker()
        system.until_empty()
        assert site.ids() == dict.fromkeys((one.id for one in posts), 1)
        assert system.reclaimed() == 0


def test_what_takes_longer_than_the_grace_is_aborted_and_delivered_by_another() -> None:
    posts = [post(f"m{n}", f"r{n}@d{n}.test") for n in range(20)]
    variables = SLOW | {"RELAY_WORKER__GRACE": "2s"}
    with Site() as site, System(site, variables) as system:
        site.manners["127.0.0.1"] = Manner(data_delay=60.0)
        with Source(system.port, posts) as source:
            source.wait(20)
        system.until(lambda: site.traffic["127.0.0.1"].open >= 20)
        system.workers[0].terminate()
        assert system.workers[0].wait() == 0
        assert "leased" not in system.left()
        assert system.connections() == 0
        del site.manners["127.0.0.1"]
        system.start_worker()
        system.until_empty()
        assert site.ids() == dict.fromkeys((one.id for one in posts), 1)
        assert system.reclaimed() == 0


def test_a_rolling_restart_under_load_loses_and_doubles_nothing() -> None:
    posts = [post(f"m{n}", f"r{n}@d{n % 200}.test", size=2000) for n in range(4000)]
    with Site(keep=False) as site, System(site, SLOW, workers=2) as system:
        with Source(system.port, posts) as source:
            system.until(lambda: len(site.taken) > 500)
            for old in list(system.workers):
                system.start_worker()
                old.terminate()
                assert old.wait() == 0
            source.wait(30)
        system.until_empty(10)
        assert site.ids() == dict.fromkeys((one.id for one in posts), 1)
        assert system.reclaimed() == 0


def test_a_stopping_reception_finishes_what_it_accepts(site: Site) -> None:
    posts = [post(f"stop{n}", f"r{n}@stop{n % 20}.test") for n in range(2000)]
    with System(site) as system:
        with Source(system.port, posts) as source:
            system.until(lambda: len(source.accepted) > 300)
            system.smtp.terminate()
            assert system.smtp.wait() == 0
            system.start_smtp()
            source.wait(30)
        system.until_empty()
        ids = site.ids()
        doubled = {one.id for one in posts if ids[one.id] != 1}
        assert not doubled - set(source.unsure)
        assert not source.unsure


def test_a_worker_that_was_frozen_longer_than_its_lease_doubles_only_what_is_counted() -> None:
    posts = [post(f"m{n}", f"r{n}@d{n % 20}.test") for n in range(200)]
    variables = SLOW | {"RELAY_LEASE__SECONDS": "2s", "RELAY_LEASE__DEADLINE": "1s"}
    with Site() as site, System(site, variables) as system:
        site.manners["127.0.0.1"] = Manner(delay=0.1)
        with Source(system.port, posts) as source:
            source.wait(20)
        system.until(lambda: len(site.taken) > 40)
        frozen = system.workers[0]
        freeze(frozen)
        system.start_worker()
        system.until(lambda: system.reclaimed() > 0)
        system.until(lambda: len(site.ids()) == len(posts))
        thaw(frozen)
        system.until_empty()
        doubled = {id_: count - 1 for id_, count in site.ids().items() if count > 1}
        assert all(
            more <= system.possible_doubles(source.accepted[id_]) for id_, more in doubled.items()
        )
        assert len(site.taken) - len(posts) <= system.reclaimed()
        assert frozen.process.poll() is None
