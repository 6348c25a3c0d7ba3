"""A submission from the JSON fields of `relay.submit`, for producers that speak Celery."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from relay.api.intake import FARTHEST_MS, LONGEST_KEY
from relay.mail.address import BadAddress, parse_mailbox
from relay.mail.compose import Limits, Problem, check_options
from relay.mail.envelope import Envelope, Priority, Recipient
from relay.mail.header import lets_tls_fail, section_end
from relay.mail.message import Message
from relay.mail.raw import read_raw
from relay.submission import Submission, Submitter


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
    #: REQUIRETLS (RFC 8689).
    require_tls: bool = False


def submission_of(fields: Mapping[str, Any], submitter: Submitter, limits: Limits) -> Submission:
    """The submission that the fields describe. Raises ValueError naming the field."""
    try:
        given = msgspec.convert(fields, Fields)
    except msgspec.ValidationError as error:
        raise ValueError(f"relay.submit: {error}") from None
    _check(given, limits)
    sender = _address("sender", given.sender) if given.sender else ""
    recipients = tuple(Recipient(_address("recipients", one)) for one in given.recipients)
    content = _content(given, limits)
    envelope = Envelope(
        sender,
        recipients,
        eight_bit=not content.isascii(),
        smtputf8=not all(one.isascii() for one in (sender, *given.recipients)),
        require_tls=given.require_tls,
        tls_optional=not given.require_tls and lets_tls_fail(content[: section_end(content)]),
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


def _check(given: Fields, limits: Limits) -> None:
    """All but addresses and content. Raises ValueError."""
    problems: list[Problem] = []
    check_options(Message(tenant=given.tenant, weight=given.weight, tags=given.tags), problems)
    if not 1 <= len(given.recipients) <= limits.recipients:
        problems.append(Problem("recipients", f"one is needed, {limits.recipients} at most"))
    key = given.idempotency_key
    if not (len(key) <= LONGEST_KEY and key.isprintable() and key.isascii()):
        problems.append(Problem("idempotency_key", f"is not ASCII of {LONGEST_KEY} characters"))
    farthest = round(time.time() * 1000) + FARTHEST_MS
    if not 0 <= given.send_at_ms <= farthest:
        problems.append(Problem("send_at_ms", "is more than 90 days ahead, or below 0"))
    if not 0 <= given.expires_at_ms <= max(given.send_at_ms, 0) + farthest:
        problems.append(Problem("expires_at_ms", "is more than 90 days ahead, or below 0"))
    if problems:
        raise ValueError("; ".join(f"{one.field}: {one.detail}" for one in problems))


def _address(field: str, text: str) -> str:
    found = parse_mailbox(text, smtputf8=True)
    if isinstance(found, BadAddress):
        raise ValueError(f"{field}: {text!r} is not an address: {found.why}")
    return found


def _content(given: Fields, limits: Limits) -> bytes:
    """The content, whole but for its line ends and Bcc. Raises ValueError."""
    if bool(given.content) == bool(given.content_base64):
        raise ValueError("content or content_base64: exactly one is needed")
    try:
        octets = given.content.encode() or base64.b64decode(given.content_base64, validate=True)
    except binascii.Error:
        raise ValueError("content_base64: not base64") from None
    except UnicodeEncodeError:
        raise ValueError("content: has half a surrogate pair") from None
    if len(octets) > limits.size:
        raise ValueError(f"content: has more than {limits.size} octets")
    raw = read_raw(octets)
    if isinstance(raw, str):
        raise ValueError(f"content: {raw}")
    return raw.head + raw.rest
