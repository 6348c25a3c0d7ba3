from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policy.hosts import candidates, in_order, without_own

MX = ((10, "a.example"), (10, "b.example"), (20, "c.example"), (30, "d.example"))


@given(
    mx=st.lists(st.tuples(st.integers(0, 3), st.text("abc", min_size=1)), max_size=8),
    seed=st.integers(),
)
def test_hosts_are_tried_by_preference_and_none_is_lost(
    mx: list[tuple[int, str]], seed: int
) -> None:
    ordered = in_order(mx, random.Random(seed).random)
    assert sorted(ordered) == sorted(mx)
    assert all(one[0] <= other[0] for one, other in pairwise(ordered))


def test_each_of_equal_hosts_is_first_about_as_often() -> None:
    chance = random.Random(7).random
    first = [in_order(MX, chance)[0][1] for _ in range(400)]
    assert 150 < first.count("a.example") < 250
    assert set(first) == {"a.example", "b.example"}


@pytest.mark.parametrize(
    ("own", "left"),
    [
        pytest.param((), "abcd", id="we are no host of the domain"),
        pytest.param(("d.example",), "abc", id="we are the worst"),
        pytest.param(("c.example",), "ab", id="we and what is worse"),
        pytest.param(("a.example",), "", id="we are among the best: a loop"),
        pytest.param(("c.example", "d.example"), "ab", id="the better of our names counts"),
    ],
)
def test_we_and_all_hosts_that_are_no_better_are_left_out(own: tuple[str, ...], left: str) -> None:
    assert "".join(name[0] for _, name in without_own(MX, own)) == left


@pytest.mark.parametrize(
    ("hosts", "most", "tried"),
    [
        pytest.param(["ab"], 5, "ab", id="fewer than allowed"),
        pytest.param(["abcdefgh"], 5, "abcde", id="one host with many addresses"),
        pytest.param(["abcdefgh", "x", "yz"], 5, "abxyz", id="a round for each host"),
        pytest.param(["abc", "de", "fg"], 2, "ad", id="the best hosts first"),
        pytest.param([], 5, "", id="no host"),
        pytest.param(["", "a"], 5, "a", id="a host without an address"),
        pytest.param(["ab"], 0, "", id="none allowed"),
    ],
)
def test_addresses_are_taken_in_rounds_and_stay_in_order(
    hosts: list[str], most: int, tried: str
) -> None:
    assert "".join(candidates(hosts, most)) == tried
