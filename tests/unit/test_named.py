"""Series for names that come from outside: few, and each only grows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relay.metrics.named import Named, counts
from relay.metrics.sites import SiteTally


def tally() -> dict[str, int]:
    return {"delivered": 0}


class Shop(Collector):
    """Names in a registry of their own."""

    def __init__(self) -> None:
        self.named = Named(tally)
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        yield counts("shop", "A test.", ("site", "outcome"), self.named.every())

    def shown(self) -> dict[str, float]:
        return {
            sample.labels["site"]: sample.value
            for family in self.registry.collect()
            for sample in family.samples
        }


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_who_is_not_named_counts_as_other(shop: Shop) -> None:
    shop.named.of("a.example")["delivered"] += 2
    shop.named.of("b.example")["delivered"] += 3
    assert shop.shown() == {"other": 5}


def test_who_gets_a_name_begins_at_zero_and_takes_nothing_from_the_others(shop: Shop) -> None:
    shop.named.of("a.example")["delivered"] += 2
    shop.named.show(["a.example"])
    assert shop.shown() == {"a.example": 0, "other": 2}
    shop.named.of("a.example")["delivered"] += 1
    shop.named.show(["b.example", "a.example"])
    assert shop.shown() == {"a.example": 1, "b.example": 0, "other": 2}


def test_who_loses_its_name_counts_as_other_again(shop: Shop) -> None:
    shop.named.show(["a.example"])
    shop.named.of("a.example")["delivered"] += 1
    shop.named.show([])
    shop.named.of("a.example")["delivered"] += 1
    assert shop.shown() == {"other": 1}


def test_what_was_seen_is_told_once_and_bounded(shop: Shop) -> None:
    for number in range(12_000):
        shop.named.of(f"{number}.example")
    shop.named.of("1.example")
    seen = shop.named.take_seen()
    assert len(seen) == 10_000
    assert (seen["1.example"], seen["2.example"]) == (2, 1)
    assert shop.named.take_seen() == {}


def test_the_buckets_of_a_site_are_cumulative_and_each_bound_is_in_its_own() -> None:
    tally = SiteTally()
    for seconds in (0.005, 0.006, 2, 1000):
        tally.took(seconds)
    buckets = dict(tally.buckets())
    assert (buckets["0.005"], buckets["0.025"], buckets["5.0"], buckets["300.0"]) == (1, 2, 3, 3)
    assert buckets["+Inf"] == 4


def test_what_could_not_be_done_is_traffic_all_the_same(shop: Shop) -> None:
    shop.named.meet("dead.example", 5)
    shop.named.meet("dead.example")
    assert shop.named.take_seen() == {"dead.example": 6}
    assert shop.shown() == {"other": 0}
