"""What the wishes of a message mean for its submission: when, until when, and in which class."""

from __future__ import annotations

from msgspec import Struct

from relay.mail.envelope import Priority
from relay.mail.wishes import NO_WISHES, Wishes


class Wished(Struct, frozen=True):
    """Fields of `relay.submission.Submission`, where each is described."""

    priority: Priority = Priority.NORMAL
    send_at_ms: int = 0
    expires_at_ms: int = 0
    by_ms: int = 0
    by_mode: str = ""


#: What most messages wish.
_NOTHING = Wished()


def wished(wishes: Wishes, now: float, longest_age: int) -> Wished:
    """The same at the Unix time `now`; a message expires after `longest_age` seconds at most."""
    if wishes is NO_WISHES:
        return _NOTHING
    return Wished(
        priority(wishes.priority),
        *times(wishes, now, longest_age),
        *deliver_by(wishes, now),
    )


def priority(level: int) -> Priority:
    """The class of a priority of RFC 6710: below 0, 0, above 0 (its section 9: urgent is 4)."""
    if not level:
        return Priority.NORMAL
    return Priority.HIGH if level > 0 else Priority.LOW


def times(wishes: Wishes, now: float, longest_age: int) -> tuple[int, int]:
    """When a message is sent and when it expires: Unix times in ms, 0 at once and by the settings.

    A message that is held has as long to be delivered, from then on, as any other.
    """
    send_at = now + wishes.hold_for if wishes.hold_for else wishes.hold_until
    send_at_ms = round(send_at * 1000) if send_at > now else 0
    expires_at_ms = send_at_ms + longest_age * 1000 if send_at_ms else 0
    if wishes.by is not None and wishes.by.returned:
        expires_at_ms = round((now + wishes.by.seconds) * 1000)
    return send_at_ms, expires_at_ms


def deliver_by(wishes: Wishes, now: float) -> tuple[int, str]:
    """When it is to be delivered, a Unix time in ms, and what is to be done else (RFC 2852)."""
    if wishes.by is None:
        return 0, ""
    return round((now + wishes.by.seconds) * 1000), wishes.by.mode
