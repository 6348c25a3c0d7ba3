"""The last reply there was: of the attempts that a record keeps, or of a site that is parked."""

from __future__ import annotations

from collections.abc import Iterable

from relay.mail.delivery import Attempt
from relay.mail.reply import Reply, reply_of
from relay.store.codec import decode_attempt

NO_REPLY = Reply(0)


def last_attempt(noted: Iterable[bytes | None]) -> Attempt | None:
    """The latest of a delivery's deferrals, as its record's `a` fields hold them."""
    attempts = [decode_attempt(value) for value in noted if value is not None]
    return max(attempts, key=lambda attempt: attempt.number, default=None)


def parked_now(reason: bytes, wake_ms: int) -> int:
    """Until when a queue is parked, in ms, from its values in `reasons` and `wake`; 0: it is not.

    When its time comes it is rung, which changes its wake entry; the reason stays a while.
    """
    until = int(reason.partition(b" ")[0] or 0)
    return until if until == wake_ms else 0


def reply_in(reason: bytes) -> Reply:
    """Why a queue was parked: the reply in its value in `reasons`, or a text without a code."""
    text = reason.partition(b" ")[2].decode("utf-8", "replace")
    code, _, rest = text.partition(" ")
    return reply_of(int(code), rest) if len(code) == 3 and code.isdecimal() else Reply(0, "", text)
