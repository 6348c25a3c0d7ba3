"""A message in the store, as people see it: each recipient's state and its attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from msgspec import Struct, field

from relay.console.views import (
    AttemptView,
    ListedView,
    MessageView,
    RecipientState,
    RecipientView,
)
from relay.mail.delivery import Attempt, Result
from relay.mail.envelope import Priority
from relay.mail.reply import Reply
from relay.store.codec import Place, Stored
from relay.store.finding import Final
from relay.store.listing import Listed
from relay.store.replies import parked_now, reply_in
from relay.store.status import OpenDelivery, Over, StoredMessage

_FINAL = {
    "delivered": RecipientState.DELIVERED,
    "bounced": RecipientState.BOUNCED,
    "expired": RecipientState.EXPIRED,
    "cancelled": RecipientState.CANCELLED,
}


_CLASSES = {priority[0]: priority.value for priority in Priority}
#: Places from which it is attempted when its own time comes.
_LATER = (Place.LATER, Place.STAGED)


class _Recipient(Struct):
    """What is known of one recipient so far."""

    state: RecipientState = RecipientState.QUEUED
    attempts: list[AttemptView] = field(default_factory=list)
    next_attempt_at: datetime | None = None
    #: Why its queue is parked, "" where it is not.
    parked: str = ""
    #: What an operator bounced it with.
    ended: str = ""


def message_view(message: StoredMessage) -> MessageView:
    """The message as `relay show` has it."""
    recipients: dict[str, _Recipient] = {}
    for open_delivery in message.open:
        _note_open(recipients, open_delivery)
    for tried in message.attempts:
        _note_attempt(recipients, tried.attempt)
    # Last, as a delivery that ended while it was read is among the open ones as well.
    for over in message.outcomes:
        _note_outcome(recipients, over)
    return MessageView(
        id=message.id,
        sender=message.record.sender,
        size=message.record.size,
        accepted_at=moment(message.record.accepted_ms),
        tenant=message.record.tenant,
        priority=message.record.priority,
        recipients=tuple(_views(recipients)),
        possible_doubles=message.possible_doubles,
        tags=message.record.tags,
        metadata=message.record.metadata,
    )


def listed_view(listed: Listed | Final) -> ListedView:
    """A delivery as lists have it."""
    if isinstance(listed, Final):
        return _final_view(listed)
    stored, delivery = listed.stored, listed.delivery
    return ListedView(
        message=listed.id[:20],
        delivery=listed.id,
        domain=stored.domain,
        state=stored.place.name.lower(),
        sender=delivery.sender,
        recipients=tuple(one.address for one in delivery.recipients),
        accepted_at=moment(delivery.accepted_ms),
        attempts=stored.attempts,
        tenant=stored.lane[1:],
        priority=_CLASSES.get(stored.lane[:1], "normal"),
        next_attempt_at=moment(stored.ms) if stored.place is Place.LATER else None,
    )


def _final_view(final: Final) -> ListedView:
    record = final.message.record
    return ListedView(
        message=final.message.id,
        delivery=final.id,
        domain=final.domain,
        state="final",
        sender=record.sender,
        recipients=final.recipients,
        accepted_at=moment(record.accepted_ms),
        attempts=max(
            (over.ended.attempt.number for over in final.outcomes if over.ended.attempt), default=0
        ),
        tenant=record.tenant,
        priority=record.priority,
    )


def domains_of(message: StoredMessage) -> dict[int, str]:
    """The domain of each delivery, by its number."""
    domains = {each.number: each.stored.domain for each in message.open}
    for over in message.outcomes:
        ended = over.ended
        to = (
            [recipient.address for recipient in ended.delivery.recipients] if ended.delivery else []
        )
        to += [result.recipient for result in ended.attempt.results] if ended.attempt else []
        domains.setdefault(over.number, to[0].rpartition("@")[2] if to else "")
    return domains


def moment(ms: float) -> datetime:
    """A Unix time in milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def reply_line(reply: Reply) -> str:
    """A reply as one line; what no host answered has no code to show."""
    return str(reply) if reply.code > 0 else reply.text


def _note_open(recipients: dict[str, _Recipient], delivery: OpenDelivery) -> None:
    stored = delivery.stored
    waits = stored.place is Place.READY and not delivery.paused
    parked_ms = parked_now(delivery.reason, delivery.wake_ms) if delivery.reason and waits else 0
    state = RecipientState.HELD if delivery.paused else _state_of(stored, parked_ms)
    next_ms = stored.ms if stored.place in _LATER else parked_ms
    for recipient in delivery.delivery.recipients:
        known = recipients.setdefault(recipient.address, _Recipient())
        known.state = state
        known.next_attempt_at = moment(next_ms) if next_ms and not delivery.paused else None
        known.parked = reply_line(reply_in(delivery.reason)) if parked_ms else ""


def _state_of(stored: Stored, parked_ms: int) -> RecipientState:
    """What it is called: where its site is down, deferred, though no attempt is spent on it."""
    if stored.place is Place.LEASED:
        return RecipientState.LEASED
    if stored.place is Place.HELD:
        return RecipientState.HELD
    return RecipientState.DEFERRED if stored.attempts or parked_ms else RecipientState.QUEUED


def _note_attempt(recipients: dict[str, _Recipient], attempt: Attempt) -> None:
    for result in attempt.results:
        known = recipients.setdefault(result.recipient, _Recipient())
        known.attempts.append(_attempt_view(attempt, result))
        if result.fate in _FINAL:
            known.state, known.next_attempt_at = _FINAL[result.fate], None


def _note_outcome(recipients: dict[str, _Recipient], over: Over) -> None:
    if over.ended.attempt is not None:
        _note_attempt(recipients, over.ended.attempt)
    if over.ended.delivery is not None:
        for recipient in over.ended.delivery.recipients:
            known = recipients.setdefault(recipient.address, _Recipient())
            known.state, known.next_attempt_at = _FINAL[over.ended.fate], None
            known.ended = reply_line(over.ended.reply) if over.ended.reply else ""


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
        verified=attempt.verified,
    )


def _views(recipients: Mapping[str, _Recipient]) -> Iterator[RecipientView]:
    for address, known in recipients.items():
        attempts = sorted(known.attempts, key=lambda attempt: attempt.at)
        last = attempts[-1] if attempts else None
        replied = reply_line(Reply(last.code, last.enhanced, last.text)) if last else ""
        yield RecipientView(
            address=address,
            state=known.state,
            attempts=tuple(attempts),
            next_attempt_at=known.next_attempt_at,
            last_reply=known.ended or (known.parked if not known.state.final else "") or replied,
        )
