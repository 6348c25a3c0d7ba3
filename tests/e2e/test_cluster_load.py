"""A cluster loses a primary and moves slots under load: nothing that was accepted is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from relay.store.keys import slot_of
from tests.e2e.test_crashes import SHORT, assert_doubles_were_counted, until_all_arrived
from tests.support.cluster import SETTINGS, ClusterStore
from tests.support.site import Manner, Site
from tests.support.source import Source, post
from tests.support.system import System

MESSAGES = 3_000
IN_THE_MIDST = 600


class Seen(NamedTuple):
    """What one run saw: seconds until all partitions accepted again, and doubles."""

    resumed: float
    doubles: int


def under_load(store: ClusterStore, happens: Callable[[System], object], **variables: str) -> Seen:
    """Something happens in the midst of it, and all arrives."""
    posts = [post(f"m{n}", f"r{n}@d{n % 300}.test", size=4096) for n in range(MESSAGES)]
    with (
        Site(keep=False) as site,
        System(site, SHORT | SETTINGS | variables, workers=2, store=store) as system,
    ):
        site.manners |= {f"d{n}.test": Manner(delay=0.2) for n in range(20)}
        with Source(system.port, posts, connections=16, rate=300) as source:
            # By what was accepted: it must go on being accepted when it has happened.
            system.until(lambda: len(source.accepted) >= IN_THE_MIDST and site.taken, "no load")
            began = time.monotonic()
            happens(system)
            accepted = set(source.accepted)

            def all_accept() -> bool:
                new = source.accepted.keys() - accepted
                return len({source.accepted[id_][9:11] for id_ in new}) == len(system.partitions)

            system.until(all_accept, seconds=40)
            resumed = time.monotonic() - began
            until_all_arrived(site, system, source, MESSAGES)
            assert_doubles_were_counted(site, system, source)
        return Seen(resumed, len(site.taken) - MESSAGES)


def test_a_primary_that_is_killed_is_followed_by_a_replica_and_nothing_is_lost() -> None:
    store = ClusterStore(replicas=2, min_replicas_to_write="1", min_replicas_max_lag="2")

    def kill(system: System) -> None:
        store.owner_of(system.partitions[0].deliveries).kill()

    seen = under_load(store, kill, RELAY_STORE__DURABILITY="replicated", RELAY_STORE__TIMEOUT="30s")
    print(seen)
    assert seen.resumed < 20


def test_slots_that_are_moved_at_once_take_their_messages_along() -> None:
    store = ClusterStore()

    def move(system: System) -> None:
        key = system.partitions[0].deliveries
        source = store.owner_of(key)
        target = next(node for node in store.nodes if node is not source)
        # In one go, keys that were written meanwhile included (Valkey 9).
        slot = slot_of(key)
        source.command(
            "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", store.id_of(target)
        )
        system.until(lambda: store.owner_of(key) is target, "the slot has moved")

    seen = under_load(store, move)
    print(seen)
    assert seen.doubles == 0


@pytest.mark.skipif(os.environ.get("TEST_STORE") != "cluster", reason="make test-cluster runs it")
def test_a_slot_that_is_moved_key_by_key_takes_its_messages_along() -> None:
    store = ClusterStore()

    def move(system: System) -> None:
        key = system.partitions[0].deliveries
        source, slot = store.owner_of(key), slot_of(key)
        target = next(node for node in store.nodes if node is not source)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", store.id_of(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", store.id_of(target))
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            place = ("127.0.0.1", target.port, "", 0, 5000, "KEYS")
            source.command("MIGRATE", *place, *keys)
        for node in (target, source, *store.nodes):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", store.id_of(target))

    seen = under_load(store, move)
    print(seen)
    assert seen.doubles == 0
