"""A message's record, read for people: each recipient's state and its attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct, field

from relay.console.views import AttemptView, MessageView, RecipientState, RecipientView
from relay.mail.delivery import Attempt, Result
from relay.mail.reply import Reply
from relay.store.codec import Place, Stored, decode_attempt, decode_record, decode_stored

#: Digits of the time in an outcome that no attempt made (scripts/lib/final.lua).
_DIGITS = 13
_GIVEN_UP = {b"x": RecipientState.EXPIRED, b"c": RecipientState.CANCELLED}
_FATES = {
    "delivered": RecipientState.DELIVERED,
    "bounced": RecipientState.BOUNCED,
    "expired": RecipientState.EXPIRED,
    "cancelled": RecipientState.CANCELLED,
}


class _Recipient(Struct):
    """What is known of one recipient so far."""

    state: RecipientState = RecipientState.QUEUED
    attempts: list[tuple[int, AttemptView]] = field(default_factory=list)
    next_ms: float = 0


def message_view(
    message: str, fields: Mapping[bytes, bytes], deliveries: Sequence[bytes | None]
) -> MessageView:
    """The message with this record; `deliveries` are its deliveries' values, None where final."""
    record = decode_record(fields[b"m"])
    recipients: dict[str, _Recipient] = {}
    for value in deliveries:
        if value is not None:
            _note_open(recipients, decode_stored(value))
    for name, value in fields.items():
        if name[:1] in (b"f", b"a"):
            _note_outcome(recipients, name, value)
    return MessageView(
        id=message,
        sender=record.sender,
        size=record.size,
        accepted_at=moment(record.accepted_ms),
        tenant=record.tenant,
        priority=record.priority,
        recipients=tuple(_views(recipients)),
        possible_doubles=int(fields.get(b"p", 0)),
    )


def moment(ms: float) -> datetime:
    """A Unix time in milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def state_of(stored: Stored) -> RecipientState:
    """What a delivery that is not final means for its recipients."""
    if stored.place is Place.LEASED:
        return RecipientState.LEASED
    if stored.place is Place.HELD:
        return RecipientState.HELD
    return RecipientState.DEFERRED if stored.attempts else RecipientState.QUEUED


def _note_open(recipients: dict[str, _Recipient], stored: Stored) -> None:
    for recipient in stored.delivery.recipients:
        known = recipients.setdefault(recipient.address, _Recipient())
        known.state = state_of(stored)
        if stored.place is Place.LATER:
            known.next_ms = stored.ms


def _note_outcome(recipients: dict[str, _Recipient], name: bytes, value: bytes) -> None:
    kind = value[:1]
    if name[:1] == b"f" and kind in _GIVEN_UP:
        for recipient in decode_stored(value[1 + _DIGITS :]).delivery.recipients:
            recipients.setdefault(recipient.address, _Recipient()).state = _GIVEN_UP[kind]
        return
    # An outcome that an attempt made has its holder in front.
    attempt = decode_attempt(value[2 + value[1] :] if name[:1] == b"f" else value)
    for result in attempt.results:
        known = recipients.setdefault(result.recipient, _Recipient())
        known.attempts.append((attempt.at_ms, _attempt_view(attempt, result)))
        known.state = _FATES.get(result.fate, known.state)


def _attempt_view(attempt: Attempt, result: Result) -> AttemptView:
    return AttemptView(
        host=attempt.host,
        address=attempt.address,
        tls=attempt.tls,
        at=moment(attempt.at_ms),
        took_ms=attempt.took_ms,
        code=result.code,
        enhanced=result.enhanced,
        text=result.text,
    )


def _views(recipients: Mapping[str, _Recipient]) -> Iterator[RecipientView]:
    for address, known in recipients.items():
        attempts = tuple(view for _, view in sorted(known.attempts, key=lambda pair: pair[0]))
        last = attempts[-1] if attempts else None
        yield RecipientView(
            address=address,
            state=known.state,
            attempts=attempts,
            next_attempt_at=moment(known.next_ms) if known.next_ms else None,
            last_reply=str(Reply(last.code, last.enhanced, last.text)) if last else "",
        )
