"""How far a path leases ahead, and when it asks for more connections: the decisions alone."""

from __future__ import annotations

import pytest

from relay.delivery.ahead import Ahead
from relay.delivery.widening import Widening


def answered(took: float, times: int = 1) -> Ahead:
    ahead = Ahead()
    for _ in range(times):
        ahead.answered(took)
    return ahead


def test_a_quick_site_has_more_and_more_leased_ahead_then_others_help() -> None:
    ahead = answered(0.001)
    said = [ahead.starved(1) for _ in range(6)]
    assert ahead.jobs == 100
    assert said == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("took", "sessions", "most"), [(0.1, 20, 5), (0.1, 40, 10), (0.3, 5, 4), (0.025, 20, 20)]
)
def test_no_more_is_leased_ahead_than_slow_sessions_take_soon(
    took: float, sessions: int, most: int
) -> None:
    ahead = answered(took)
    for _ in range(10):
        assert not ahead.starved(sessions)
    assert ahead.jobs == most


def test_a_site_that_becomes_slow_has_less_leased_ahead() -> None:
    ahead = answered(0.001)
    for _ in range(6):
        ahead.starved(20)
    for _ in range(20):
        ahead.answered(0.2)
    ahead.starved(20)
    assert ahead.jobs == 5


def test_what_waited_at_hand_halves_what_is_leased_ahead() -> None:
    ahead = Ahead()
    ahead.jobs = 64
    ahead.waited(0.1, 40)
    assert ahead.jobs == 32
    ahead.waited(0.1, 40)
    ahead.waited(0.1, 40)
    assert ahead.jobs == 10, "for every fourth session one"
    for _ in range(5):
        ahead.waited(2.0, 40)
    assert ahead.jobs == 1, "where it waits that long, next to nothing"
    ahead.waited(0.1, 40)
    assert ahead.jobs == 1


def test_jobs_that_will_wait_for_a_session_are_known_at_once() -> None:
    assert Ahead().overdue(10, 1) == 0, "nothing is known yet"
    assert answered(0.01).overdue(10, 1) == 0, "a quick session is free again sooner than opened"
    assert answered(0.3).overdue(4, 1) == 4
    assert answered(0.1).overdue(10, 20) == 6
    assert answered(0.1).overdue(3, 20) == 0


def test_the_mean_follows_the_last_transactions() -> None:
    ahead = answered(0.001, 20)
    ahead.answered(0.3)
    assert ahead.overdue(4, 1) == 4
    for _ in range(20):
        ahead.answered(0.001)
    assert ahead.overdue(4, 1) == 0


def test_a_path_that_was_refused_waits_for_answers_not_for_long() -> None:
    widening = Widening()
    assert widening.left(100.0) <= 0
    widening.refused(100.0, others=False)
    assert widening.left(100.0) == pytest.approx(2.0)
    soon = widening.answered(100.03, sessions=10, prompt=True)
    assert widening.left(100.03) == pytest.approx(soon)
    assert soon == pytest.approx(0.07), "a prompt answer may have widened the window"


def test_in_vain_a_path_asks_less_and_less_often_until_a_windowful_was_answered() -> None:
    widening, now = Widening(), 100.0
    rests = []
    for _ in range(7):
        widening.refused(now, others=False)
        widening.answered(now, sessions=10, prompt=True)
        rests.append(round(widening.left(now), 2))
        now += 10
    assert rests == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    widening.refused(now, others=False)
    for _ in range(9):
        widening.answered(now, sessions=10, prompt=True)
    assert widening.left(now) == pytest.approx(2.0)
    assert widening.answered(now, sessions=10, prompt=True) == pytest.approx(0.05)


def test_an_answer_after_the_rest_lets_a_path_ask_at_once() -> None:
    """It has been waiting for the longest rest, so it has to be told."""
    widening = Widening()
    assert widening.answered(100.0, sessions=10, prompt=True) is None, "nothing was refused"
    widening.refused(100.0, others=False)
    assert widening.answered(100.3, sessions=10, prompt=True) == 0
    assert widening.left(100.3) <= 0
    assert widening.answered(100.3, sessions=10, prompt=True) is None, "it was told already"


def test_a_slow_answer_is_one_of_a_windowful() -> None:
    widening = Widening()
    widening.refused(100.0, others=False)
    assert widening.answered(101.5, sessions=2, prompt=False) is None
    assert widening.left(101.5) == pytest.approx(0.5)
    widening.answered(101.5, sessions=2, prompt=False)
    assert widening.left(101.5) <= 0


def test_where_others_have_connections_a_path_asks_again_soon() -> None:
    widening = Widening()
    widening.refused(100.0, others=True)
    assert widening.left(100.0) == pytest.approx(0.05)
