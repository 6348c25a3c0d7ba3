"""Shaping: rates as they are written, and which row of the table wins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policy.shaping import Limits, Override, Rate, Shaping, rate_of


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/min", Rate(100, 60)),
        ("20/30minute", Rate(20, 1800)),
        ("5/s", Rate(5, 1)),
        ("1000 / hour", Rate(1000, 3600)),
        ("100/d,max_burst=1", Rate(100, 86400, 1)),
        ("2/hr, max_burst=3", Rate(2, 3600, 3)),
    ],
)
def test_a_rate_is_read_as_it_is_written(text: str, rate: Rate) -> None:
    assert rate_of(text) == rate


@pytest.mark.parametrize(
    "text", ["", "100", "100/fortnight", "0/min", "1/0s", "-1/s", "1/s,burst=2"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        rate_of(text)


@given(count=st.integers(1, 10**6), seconds=st.integers(1, 10**6))
def test_events_so_far_apart_never_exceed_the_rate(count: int, seconds: int) -> None:
    every_us = Rate(count, seconds).every_us
    assert every_us * count >= seconds * 1_000_000
    assert (every_us - 1) * count < seconds * 1_000_000


def test_a_burst_is_the_whole_count_unless_it_is_said() -> None:
    assert (Rate(9, 1).most_at_once, Rate(9, 1, 2).most_at_once) == (9, 2)


@pytest.mark.parametrize(
    ("source", "site", "domain", "connections"),
    [
        pytest.param("", "mx.other.example", "a.example", 20, id="default"),
        pytest.param("", "mx.big.example", "a.example", 10, id="site"),
        pytest.param("warm", "mx.big.example", "a.example", 3, id="site and source: later row"),
        pytest.param("warm", "mx.other.example", "a.example", 5, id="source"),
        pytest.param("", "mx.other.example", "small.example", 1, id="domain"),
        pytest.param("", "in.wild.example", "a.example", 7, id="below a name"),
        pytest.param("", "wild.example", "a.example", 20, id="not the name itself"),
        pytest.param("", "notwild.example", "a.example", 20, id="not another name that ends so"),
    ],
)
def test_the_last_row_that_applies_wins(
    source: str, site: str, domain: str, connections: int
) -> None:
    shaping = Shaping(
        Limits(initial=4),
        [
            Override(site="*.wild.example", connections=7),
            Override(source="warm", connections=5),
            Override(site="mx.big.example", connections=10, delivery_rate=Rate(1, 1)),
            Override(site="mx.big.example", source="warm", connections=3),
            Override(site="small.example", connections=1),
        ],
    )
    limits = shaping.limits(source, site, domain)
    assert (limits.connections, limits.initial) == (connections, 4)


def test_a_row_leaves_alone_what_it_does_not_say() -> None:
    shaping = Shaping(
        rows=[Override(site="s", delivery_rate=Rate(1, 1)), Override(site="s", connections=2)]
    )
    assert shaping.limits("", "s") == Limits(connections=2, delivery_rate=Rate(1, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 0},
        {"connections": 1001},
        {"initial": 0},
        {"failed_cohorts": 0.0},
        {"first_pause": 0.0},
        {"first_pause": 10.0, "longest_pause": 5.0},
    ],
    ids=str,
)
def test_limits_that_no_path_could_keep_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"needed|above 0"):
        Limits(**wrong)  # type: ignore[arg-type]
