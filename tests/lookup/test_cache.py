from __future__ import annotations

from msgspec import Struct

from relay.lookup.cache import Cache


class Held(Struct, frozen=True):
    name: str
    expires: float


def cache(most: int = 10) -> Cache[str, Held]:
    kept: Cache[str, Held] = Cache(most)
    return kept


def test_a_value_is_kept_until_its_time_and_not_a_moment_longer() -> None:
    kept = cache()
    kept.put("a", Held("a", expires=10.0))
    assert kept.get("a", 9.99) == Held("a", 10.0)
    assert kept.get("a", 10.0) is None
    assert len(kept) == 0


def test_the_value_not_used_for_longest_makes_room() -> None:
    kept = cache(most=2)
    kept.put("a", Held("a", 10.0))
    kept.put("b", Held("b", 10.0))
    kept.get("a", 0.0)
    kept.put("c", Held("c", 10.0))
    assert kept.get("b", 0.0) is None
    assert kept.get("a", 0.0) is not None
    assert kept.get("c", 0.0) is not None


def test_it_never_holds_more_than_it_may() -> None:
    kept = cache(most=3)
    for number in range(100):
        kept.put(str(number), Held(str(number), 10.0))
    assert len(kept) == 3


def test_a_newer_value_takes_the_place_of_the_older() -> None:
    kept = cache()
    kept.put("a", Held("old", 10.0))
    kept.put("a", Held("new", 20.0))
    assert kept.get("a", 15.0) == Held("new", 20.0)
    assert len(kept) == 1
