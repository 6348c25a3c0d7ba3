"""The retry policy: when a deferred delivery is tried again, and when it is given up.

All times are Unix times in milliseconds, as the store keeps them.
"""

from __future__ import annotations

from msgspec import Struct

_SECOND = 1000
_HOUR = 3600 * _SECOND
_DAY = 24 * _HOUR
#: Doublings beyond these change nothing for any sensible schedule, and would overflow a float.
_MOST_STEPS = 64


class RetrySchedule(Struct, frozen=True):
    """How long to wait between attempts: from `first_ms` by `factor` up to `longest_ms`."""

    #: Wait after the first attempt, in milliseconds. A greylisting host wants at least a minute.
    first_ms: int = 60 * _SECOND
    #: What each wait is multiplied by, at least 1.
    factor: float = 2.0
    #: The longest wait, in milliseconds, before jitter is added.
    longest_ms: int = 4 * _HOUR
    #: How long a message is tried at all, in milliseconds (RFC 5321 section 4.5.4.1: 4 to 5 days).
    max_age_ms: int = 5 * _DAY
    #: A wait is lengthened by up to this share of itself, so that what failed together spreads out.
    spread: float = 0.2


def expiry(schedule: RetrySchedule, *, accepted_ms: int, expires_ms: int = 0) -> int:
    """When a delivery expires: at its own `expires_ms`, or where that is 0 at the longest age."""
    return expires_ms or accepted_ms + schedule.max_age_ms


def wait(schedule: RetrySchedule, *, attempts: int, jitter: float) -> int:
    """How long to wait before the next attempt, in milliseconds, `attempts` having been made.

    `jitter`, from 0 to 1, is drawn by the caller.
    """
    steps = min(max(attempts - 1, 0), _MOST_STEPS)
    plain = min(schedule.first_ms * schedule.factor**steps, schedule.longest_ms)
    return round(plain * (1 + schedule.spread * jitter))


def next_attempt(
    schedule: RetrySchedule,
    *,
    attempts: int,
    accepted_ms: int,
    now_ms: int,
    jitter: float,
    expires_ms: int = 0,
) -> int | None:
    """The time of the next attempt, `attempts` having been made, or None where it has expired.

    `jitter`, from 0 to 1, is drawn by the caller. The last attempt falls on the moment of expiry,
    never after it (RFC 5321 section 4.5.4.1).
    """
    expires = expiry(schedule, accepted_ms=accepted_ms, expires_ms=expires_ms)
    if now_ms >= expires:
        return None
    return min(now_ms + wait(schedule, attempts=attempts, jitter=jitter), expires)
