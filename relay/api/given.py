"""What callers may give for a message: one of ours, the standard library's, octets, or fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from email.generator import BytesGenerator
from email.message import EmailMessage
from email.message import Message as LegacyMessage
from io import BytesIO
from typing import Any, TypedDict, cast

from msgspec import structs

from relay import tracing
from relay.errors import InvalidMessage
from relay.mail.envelope import Priority
from relay.mail.message import Attachment, Message

Given = Message | EmailMessage | bytes
_ADDRESSES = ("to", "cc", "bcc", "reply_to")
_SEVERAL = (*_ADDRESSES, "attachments", "tags", "notify")
_WORDS = ("from_", "subject", "text", "html", "tenant", "idempotency_key", "traceparent")
_NAMES = frozenset(Message.__struct_fields__)


class Fields(TypedDict, total=False):
    """The fields of `relay.mail.message.Message`, lists as well as tuples."""

    from_: str
    to: str | Sequence[str]
    cc: str | Sequence[str]
    bcc: str | Sequence[str]
    reply_to: str | Sequence[str]
    subject: str
    text: str
    html: str
    attachments: Sequence[Attachment]
    headers: dict[str, str]
    raw: bytes
    envelope_sender: str | None
    tenant: str
    priority: Priority
    weight: int
    tags: Sequence[str]
    metadata: dict[str, str]
    send_at: datetime | None
    expires_at: datetime | None
    notify: Sequence[str]
    ret: str
    envid: str
    substitutions: dict[str, Any] | None
    idempotency_key: str
    traceparent: str


def message_of(given: Given | None, fields: Fields | Mapping[str, Any]) -> Message:
    """One of our messages. Raises InvalidMessage where it is of no kind that can be taken."""
    own = cast("dict[str, Any]", dict(fields))
    for name in own:
        if name not in _NAMES:
            raise InvalidMessage([(name, "is no field of a message")])
    for name in _SEVERAL:
        if name in own and not isinstance(own[name], str):
            own[name] = tuple(own[name])
    if given is None:
        return _typed(Message(**own))
    if isinstance(given, Message):
        return _typed(structs.replace(given, **own) if own else given)
    if isinstance(given, LegacyMessage):
        return _typed(Message(raw=_octets(given), **own))
    if isinstance(given, bytes):
        return _typed(Message(raw=given, **own))
    kind = type(given).__name__
    raise InvalidMessage([("", f"a {kind} is no message: give Message, EmailMessage or bytes")])


def _typed(message: Message) -> Message:
    """The message, its lists as tuples: msgspec checks types only of what it decodes."""
    changes: dict[str, Any] = {}
    for name in _SEVERAL:
        value = getattr(message, name)
        if isinstance(value, list):
            changes[name] = tuple(value)
        elif not isinstance(value, tuple) and not (isinstance(value, str) and name in _ADDRESSES):
            raise InvalidMessage([(name, "is neither a string nor a sequence of them")])
    for name in _WORDS:
        if not isinstance(getattr(message, name), str):
            raise InvalidMessage([(name.rstrip("_"), "is not a string")])
    if not message.traceparent and (context := tracing.current()):
        changes["traceparent"] = context
    return structs.replace(message, **changes) if changes else message


def _octets(message: LegacyMessage[Any, Any]) -> bytes:
    """The message as its own policy writes it, long lines and 8-bit parts as they are."""
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, policy=message.policy.clone(linesep="\r\n")).flatten(
        message
    )
    return out.getvalue()
