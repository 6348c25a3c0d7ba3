"""What is killed in the midst of its work loses nothing, and doubles no more than is counted."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.site import Manner, Site
from tests.support.source import Source, post, submit
from tests.support.system import System

MESSAGES = 10_000
DOMAINS = 1_000
#: So many take their time to answer the final dot, so that some are always in flight.
SLOW = 50
#: How many are taken when the misfortune comes.
IN_THE_MIDST = 3_000
SHORT = {"RELAY_LEASE__SECONDS": "2s", "RELAY_LEASE__DEADLINE": "1s", "RELAY_RETRY__FIRST": "1s"}


@contextmanager
def under_load() -> Iterator[tuple[Site, System, Source]]:
    """A system that has much to do, and whose hosts take their time."""
    posts = [post(f"m{n}", f"r{n}@d{n % DOMAINS}.test", size=4096) for n in range(MESSAGES)]
    with Site(keep=False) as site, System(site, SHORT) as system:
        site.manners |= {f"d{n}.test": Manner(delay=0.2) for n in range(SLOW)}
        with Source(system.port, posts, connections=16) as source:
            system.until(lambda: len(site.taken) >= IN_THE_MIDST, lambda: len(site.taken))
            yield site, system, source


def until_all_arrived(site: Site, system: System, source: Source, messages: int = MESSAGES) -> None:
    """All that was accepted arrives, and nothing is left to be done."""
    source.wait(60)
    assert len(source.accepted) == messages
    system.until(lambda: len(site.ids()) == messages, lambda: (len(site.ids()), system.left()), 40)
    system.until_empty()


def assert_doubles_were_counted(site: Site, system: System, source: Source) -> None:
    """A message that came twice has as many possible doubles in its record, at least.

    A client whose answer was lost submitted again: that message may be there twice as well.
    """
    doubled = {id_: count - 1 for id_, count in site.ids().items() if count > 1}
    counted = {id_: system.possible_doubles(source.accepted[id_]) for id_ in doubled}
    resubmitted = set(source.unsure)
    unexplained = {
        id_: (more, counted[id_])
        for id_, more in doubled.items()
        if more > counted[id_] and id_ not in resubmitted
    }
    assert not unexplained


def test_a_killed_workers_messages_are_delivered_by_the_next_one() -> None:
    with under_load() as (site, system, source):
        system.workers[0].kill()
        before = len(site.taken)
        system.start_worker()
        until_all_arrived(site, system, source)
        assert before < MESSAGES
        assert not source.unsure
        assert system.reclaimed() > 0
        doubles = len(site.taken) - MESSAGES
        assert doubles <= system.reclaimed()
        assert_doubles_were_counted(site, system, source)


def test_a_worker_that_is_killed_again_and_again_still_loses_nothing() -> None:
    with under_load() as (site, system, source):
        for _ in range(3):
            system.workers[-1].kill()
            system.start_worker()
        until_all_arrived(site, system, source)
        assert not source.unsure
        assert_doubles_were_counted(site, system, source)


def test_after_a_kill_mail_for_healthy_hosts_does_not_wait_for_slow_ones() -> None:
    healthy, sticky = (
        [post(f"{kind}{n}", f"r{n}@{kind}{n % 20}.test") for n in range(80)]
        for kind in ("well", "tar")
    )
    with Site() as site, System(site, SHORT) as system:
        site.manners |= {
            f"{kind}{n}.test": Manner(data_delay=3.0) for kind in ("well", "tar") for n in range(20)
        }
        submit(system.port, *healthy, *sticky)
        system.until(lambda: system.left().get("leased", 0) >= 120)
        system.workers[0].kill()
        for n in range(20):
            del site.manners[f"well{n}.test"]
        system.start_worker()
        system.until(lambda: {one.id for one in healthy} <= site.ids().keys(), seconds=25)
        assert system.reclaimed() >= 120
        site.manners.clear()
        system.until(lambda: {one.id for one in sticky} <= site.ids().keys())
        system.until_empty()


def misfortune(happens: Callable[[System], None]) -> None:
    """Something happens in the midst of it, and nothing is lost."""
    with under_load() as (site, system, source):
        happens(system)
        until_all_arrived(site, system, source)
        assert_doubles_were_counted(site, system, source)


def test_a_restart_of_the_store_loses_nothing() -> None:
    misfortune(lambda system: system.store.restart())


def test_a_killed_store_loses_nothing_that_was_accepted() -> None:
    def kill(system: System) -> None:
        system.store.kill()
        system.store.start()

    misfortune(kill)


def test_a_killed_broker_delays_and_loses_nothing() -> None:
    def kill(system: System) -> None:
        system.broker.kill()
        system.broker.start()

    misfortune(kill)


def test_a_killed_reception_loses_nothing_that_was_accepted() -> None:
    def kill(system: System) -> None:
        system.smtp.kill()
        system.start_smtp()

    misfortune(kill)


def test_while_the_store_is_away_nothing_is_accepted() -> None:
    with Site() as site, System(site, {"RELAY_STORE__TIMEOUT": "1s"}) as system:
        system.store.kill()
        with (
            smtplib.SMTP("127.0.0.1", system.port, timeout=30) as client,
            pytest.raises(smtplib.SMTPDataError) as refused,
        ):
            client.sendmail("a@origin.test", ["refused@away.test"], b"Subject: x\r\n\r\nx\r\n")
        assert refused.value.smtp_code == 451
        system.store.start()
        submit(system.port, post("back", "b@away.test"))
        system.until(lambda: site.ids()["back"])
        system.until_empty()
        assert not site.for_recipient("refused@away.test")


def test_while_the_broker_is_away_messages_are_accepted_and_wait() -> None:
    with Site() as site, System(site, SHORT) as system:
        system.broker.kill()
        posts = [post(f"m{n}", f"r{n}@d{n}.test") for n in range(50)]
        submit(system.port, *posts)
        assert len(system.keys("m:*")) == 50
        system.broker.start()
        system.until(lambda: len(site.ids()) == 50)
        system.until_empty()
