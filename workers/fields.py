"""A submission from the JSON fields of `relay.submit`, for producers that speak Celery."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from relay.mail.address import BadAddress, parse_mailbox
from relay.mail.envelope import Envelope, Priority, Recipient
from relay.submission import Submission, Submitter

_LINE_END = re.compile(rb"\r\n|\r|\n")


class Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `relay.submit` takes: content as RFC 5322 text, or base64 of it."""

    sender: str
    recipients: tuple[str, ...]
    content: str = ""
    content_base64: str = ""
    tenant: str = ""
    priority: Priority = Priority.NORMAL
    weight: int = 1
    idempotency_key: str = ""
    #: Unix times in milliseconds.
    send_at_ms: int = 0
    expires_at_ms: int = 0
    tags: tuple[str, ...] = ()


def submission_of(fields: Mapping[str, Any], submitter: Submitter) -> Submission:
    """The submission that the fields describe. Raises ValueError naming the field."""
    try:
        given = msgspec.convert(fields, Fields)
    except msgspec.ValidationError as error:
        raise ValueError(f"relay.submit: {error}") from None
    if not given.recipients:
        raise ValueError("recipients: at least one is needed")
    sender = _address("sender", given.sender) if given.sender else ""
    recipients = tuple(Recipient(_address("recipients", one)) for one in given.recipients)
    content = _content(given)
    envelope = Envelope(
        sender,
        recipients,
        eight_bit=not content.isascii(),
        smtputf8=not all(one.isascii() for one in (sender, *given.recipients)),
    )
    return Submission(
        id=submitter.new_id(given.tenant, given.idempotency_key),
        envelope=envelope,
        content=(content,),
        tenant=given.tenant,
        priority=given.priority,
        weight=given.weight,
        idempotency_key=given.idempotency_key,
        send_at_ms=given.send_at_ms,
        expires_at_ms=given.expires_at_ms,
        origin="api",
        tags=given.tags,
    )


def _address(field: str, text: str) -> str:
    found = parse_mailbox(text, smtputf8=True)
    if isinstance(found, BadAddress):
        raise ValueError(f"{field}: {text!r} is not an address")
    return found


def _content(given: Fields) -> bytes:
    if bool(given.content) == bool(given.content_base64):
        raise ValueError("content or content_base64: exactly one is needed")
    try:
        raw = given.content.encode() or base64.b64decode(given.content_base64, validate=True)
    except binascii.Error:
        raise ValueError("content_base64: not base64") from None
    lines = _LINE_END.sub(b"\r\n", raw)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"
