from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import Settings
from relay.policy.retry import RetrySchedule, expiry, next_attempt
from workers.options import retry_schedule

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ACCEPTED = 1_790_000_000_000

schedules = st.builds(
    RetrySchedule,
    first_ms=st.integers(1, HOUR),
    factor=st.floats(1, 10),
    longest_ms=st.integers(HOUR, DAY),
    max_age_ms=st.integers(DAY, 10 * DAY),
    spread=st.floats(0, 1),
)


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [
        pytest.param(1, MINUTE, id="after the first attempt"),
        pytest.param(2, 2 * MINUTE, id="doubled"),
        pytest.param(5, 16 * MINUTE, id="doubled four times"),
        pytest.param(8, 128 * MINUTE, id="the last below the longest"),
        pytest.param(9, 4 * HOUR, id="the longest"),
        pytest.param(100_000, 4 * HOUR, id="no overflow"),
        pytest.param(0, MINUTE, id="a host was down, so no attempt was counted"),
    ],
)
def test_waits_double_up_to_the_longest(attempts: int, wait: int) -> None:
    due = next_attempt(
        RetrySchedule(), attempts=attempts, accepted_ms=ACCEPTED, now_ms=ACCEPTED, jitter=0
    )
    assert due == ACCEPTED + wait


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 60_000), (0.5, 66_000), (1.0, 72_000)])
def test_jitter_lengthens_a_wait_by_its_share(jitter: float, wait: int) -> None:
    due = next_attempt(
        RetrySchedule(), attempts=1, accepted_ms=ACCEPTED, now_ms=ACCEPTED, jitter=jitter
    )
    assert due == ACCEPTED + wait


@pytest.mark.parametrize(
    ("now", "own", "expected"),
    [
        pytest.param(5 * DAY - 1, 0, 5 * DAY, id="the last attempt falls on expiry"),
        pytest.param(5 * DAY, 0, None, id="expired at the very moment"),
        pytest.param(9 * DAY, 0, None, id="expired long ago"),
        pytest.param(HOUR, HOUR + 10, HOUR + 10, id="own time cuts the wait"),
        pytest.param(HOUR, HOUR, None, id="own time is over"),
        pytest.param(6 * DAY, 7 * DAY, 6 * DAY + 4 * HOUR, id="own time beyond the longest age"),
    ],
)
def test_nothing_is_tried_after_expiry(now: int, own: int, expected: int | None) -> None:
    due = next_attempt(
        RetrySchedule(),
        attempts=30,
        accepted_ms=ACCEPTED,
        now_ms=ACCEPTED + now,
        jitter=0,
        expires_ms=ACCEPTED + own if own else 0,
    )
    assert due == (None if expected is None else ACCEPTED + expected)


def test_expiry_is_the_own_time_or_the_longest_age() -> None:
    assert expiry(RetrySchedule(), accepted_ms=ACCEPTED) == ACCEPTED + 5 * DAY
    assert expiry(RetrySchedule(), accepted_ms=ACCEPTED, expires_ms=ACCEPTED + 1) == ACCEPTED + 1


@given(schedules, st.integers(0, 200), st.integers(0, 12 * DAY), st.floats(0, 1))
def test_the_next_attempt_lies_after_now_and_never_after_expiry(
    schedule: RetrySchedule, attempts: int, age: int, jitter: float
) -> None:
    now = ACCEPTED + age
    due = next_attempt(schedule, attempts=attempts, accepted_ms=ACCEPTED, now_ms=now, jitter=jitter)
    assert (due is None) == (age >= schedule.max_age_ms)
    if due is not None:
        assert now < due <= expiry(schedule, accepted_ms=ACCEPTED)
        assert due - now <= schedule.longest_ms * (1 + schedule.spread) + 1


@given(schedules, st.floats(0, 1))
def test_waits_never_shrink_before_expiry_cuts_them(schedule: RetrySchedule, jitter: float) -> None:
    waits = [
        next_attempt(schedule, attempts=n, accepted_ms=ACCEPTED, now_ms=ACCEPTED, jitter=jitter)
        for n in range(1, 80)
    ]
    assert all(a is not None and b is not None and a <= b for a, b in pairwise(waits))


@given(schedules, st.data())
def test_a_delivery_that_always_fails_ends_on_its_expiry(
    schedule: RetrySchedule, data: st.DataObject
) -> None:
    # Few, long waits, so that a life ends within a bounded number of attempts.
    slow = RetrySchedule(
        first_ms=HOUR, factor=schedule.factor, longest_ms=schedule.longest_ms, max_age_ms=2 * DAY
    )
    now, attempts = ACCEPTED, 0
    while True:
        attempts += 1
        jitter = data.draw(st.floats(0, 1))
        due = next_attempt(slow, attempts=attempts, accepted_ms=ACCEPTED, now_ms=now, jitter=jitter)
        if due is None:
            break
        now = due
    assert now == expiry(slow, accepted_ms=ACCEPTED)


def test_the_settings_defaults_are_the_schedules_own() -> None:
    assert retry_schedule(Settings()) == RetrySchedule()
