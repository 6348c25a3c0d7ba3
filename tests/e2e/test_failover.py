"""The primary of the store is lost under load, and the broker's with it: nothing accepted is."""

from __future__ import annotations

import time

from tests.e2e.test_crashes import SHORT, assert_doubles_were_counted, until_all_arrived
from tests.support.replicated import SentinelBroker, SentinelStore
from tests.support.site import Manner, Site
from tests.support.source import Source, post
from tests.support.system import System

MESSAGES = 3_000
REPLICATED = SHORT | {"RELAY_STORE__DURABILITY": "replicated", "RELAY_STORE__TIMEOUT": "20s"}


def test_sentinels_give_the_store_and_the_broker_new_primaries_and_nothing_is_lost() -> None:
    posts = [post(f"m{n}", f"r{n}@d{n % 500}.test", size=4096) for n in range(MESSAGES)]
    servers = {"store": SentinelStore(replicas=2), "broker": SentinelBroker()}
    with Site(keep=False) as site, System(site, REPLICATED, workers=2, **servers) as system:
        site.manners |= {f"d{n}.test": Manner(delay=0.2) for n in range(50)}
        with Source(system.port, posts, connections=16) as source:
            system.until(lambda: len(site.taken) >= 600, lambda: len(site.taken))
            before = servers["store"].primary
            before.kill()
            servers["broker"].primary.kill()
            killed = time.monotonic()
            accepted = len(source.accepted)
            # Answers that were on their way came before the kill.
            system.until(lambda: len(source.accepted) > accepted + 32)
            resumed = time.monotonic() - killed
            until_all_arrived(site, system, source, MESSAGES)
            assert servers["store"].primary is not before
            assert_doubles_were_counted(site, system, source)
        print(f"accepted again after {resumed:.1f} s; doubled {len(site.taken) - MESSAGES}")
        assert resumed < 15
