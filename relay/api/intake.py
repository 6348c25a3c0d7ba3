"""From a message as a service gives it to a submission: every way in but SMTP goes through here."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec import Struct, structs

from relay import tracing
from relay.errors import InvalidMessage
from relay.mail.compose import Composed, Limits, Maker, compose
from relay.mail.message import Message
from relay.mail.template import BadTemplate, render
from relay.mail.trace import date, hops
from relay.submission import Submission

#: How far ahead a message may be scheduled, and how long it may live, in ms.
FARTHEST_MS = 90 * 24 * 3600 * 1000
LONGEST_KEY = 256
_MOST_HOPS = 50
_encode = msgspec.msgpack.Encoder(decimal_format="string").encode


class Ids(Protocol):
    """What is asked of `relay.submission.Submitter`."""

    def new_id(self, tenant: str = "", idempotency_key: str = "") -> str:
        """An id for a message to come."""


class Origin(Struct, frozen=True, kw_only=True):
    """Where messages come in, and what is allowed there."""

    #: http or api.
    way: str
    limits: Limits = Limits()
    #: How long a message without `expires_at` lives after `send_at`, in ms.
    longest_ms: int = 5 * 24 * 3600 * 1000
    #: The trace header that is put in front, given the id and the date; None: there is none.
    trace: Callable[[str, str], bytes] | None = None


class Intake:
    """Makes submissions. `check` may refuse an author or a sender by raising InvalidMessage."""

    def __init__(self, ids: Ids, origin: Origin) -> None:
        self._ids = ids
        self._origin = origin

    def submission(
        self,
        message: Message,
        *,
        client: str = "",
        check: Callable[[Composed], None] | None = None,
    ) -> Submission:
        """The submission that a message asks for. Raises InvalidMessage with every problem."""
        fingerprint = _fingerprint(message) if message.idempotency_key else ""
        if message.substitutions is not None:
            message = _rendered(message)
        now = time.time()
        send_at, expires_at = self._times(message, int(now * 1000))
        id_ = self._ids.new_id(message.tenant, message.idempotency_key)
        stamp = date(int(now))
        made = compose(message, Maker(id_, stamp.decode(), self._origin.limits))
        if not isinstance(made, Composed):
            raise InvalidMessage([(problem.field, problem.detail) for problem in made])
        if message.raw and hops(made.content) > _MOST_HOPS:
            raise InvalidMessage(
                [("raw", f"has been through more than {_MOST_HOPS} hosts: a loop")]
            )
        if check is not None:
            check(made)
        trace = self._origin.trace
        return Submission(
            id=id_,
            envelope=made.envelope,
            content=(made.content if trace is None else trace(id_, stamp.decode()) + made.content,),
            tenant=message.tenant,
            priority=message.priority,
            weight=message.weight,
            idempotency_key=message.idempotency_key,
            fingerprint=fingerprint,
            send_at_ms=send_at,
            expires_at_ms=expires_at,
            origin=self._origin.way,
            client=client,
            tags=tuple(message.tags),
            metadata=message.metadata,
            traceparent=_context(message.traceparent),
        )

    def _times(self, message: Message, now_ms: int) -> tuple[int, int]:
        """When it is sent first (0: now) and expires (0: by the settings)."""
        key = message.idempotency_key
        if key and not (len(key) <= LONGEST_KEY and key.isprintable() and key.isascii()):
            why = f"is not printable ASCII of {LONGEST_KEY} characters at most"
            raise InvalidMessage([("idempotency_key", why)])
        if message.send_at is None and message.expires_at is None:
            return 0, 0
        send_at = _ms(message.send_at, "send_at") if message.send_at else 0
        if send_at > now_ms + FARTHEST_MS:
            raise InvalidMessage([("send_at", "is more than 90 days ahead")])
        begins = max(send_at, now_ms)
        if message.expires_at is None:
            return (send_at, begins + self._origin.longest_ms) if send_at > now_ms else (0, 0)
        expires_at = _ms(message.expires_at, "expires_at")
        if expires_at <= begins:
            why = "is not after send_at" if send_at > now_ms else "is over"
            raise InvalidMessage([("expires_at", why)])
        if expires_at > begins + FARTHEST_MS:
            raise InvalidMessage([("expires_at", "is more than 90 days after the message is sent")])
        return (send_at if send_at > now_ms else 0), expires_at


def _ms(moment: datetime, name: str) -> int:
    if moment.tzinfo is None:
        raise InvalidMessage([(name, "has no time zone: give one, such as datetime.UTC")])
    return round(moment.timestamp() * 1000)


def _context(traceparent: str) -> str:
    found = tracing.context_in(traceparent)
    if traceparent and not found:
        why = "is none: 00-, 32 hexadecimal digits, -, 16 of them, -, two for the flags"
        raise InvalidMessage([("traceparent", why)])
    return found


def _fingerprint(message: Message) -> str:
    """What two messages under one key are told apart by: all fields but the key and the trace."""
    told = structs.replace(message, idempotency_key="", traceparent="")
    return hashlib.sha256(_encode(told)).hexdigest()


def _rendered(message: Message) -> Message:
    """The message with its values in place of their names. Raises InvalidMessage."""
    values = message.substitutions or {}
    problems: list[tuple[str, str]] = []

    def filled(name: str, source: str, *, html: bool = False) -> str:
        made = render(source, values, html=html) if source else ""
        if isinstance(made, BadTemplate):
            problems.append((name, made.why))
            return ""
        return made

    rendered = structs.replace(
        message,
        subject=filled("subject", message.subject),
        text=filled("text", message.text),
        html=filled("html", message.html, html=True),
        headers={name: filled(f"headers.{name}", value) for name, value in message.headers.items()},
        substitutions=None,
    )
    if problems:
        raise InvalidMessage(problems)
    return rendered
