"""A feedback report (ARF, RFC 5965): a mailbox provider tells that a recipient complained.

It has three parts: one for people, one for machines, and the message in question or its header
section. In the last of these the Received fields that Relay writes name the message by its id.
Providers blacken what they will not tell, recipients above all.
"""

from __future__ import annotations

import re
from email.message import Message
from email.parser import BytesParser, HeaderParser
from typing import cast

from msgspec import Struct

from relay.mail.ids import is_message_id

#: Octets of a report that are read at most: whole messages come back with it.
MOST_OCTETS = 4 << 20
#: Kinds of feedback by which somebody says that he did not want the message (RFC 5965 section 7.3;
#: opt-out is what some providers send). Others are none: not-spam takes a complaint back (RFC 6430
#: section 3), auth-failure tells of a check of DMARC's (RFC 6591).
KINDS = ("abuse", "fraud", "virus", "other", "opt-out", "opt-out-list")
_MOST_FIELDS = 50
_LONGEST_ADDRESS = 320
_RECEIVED = re.compile(r"\bby\s+(\S{1,255})\s+\(Relay\)\s+with\s+\S{1,20}\s+id\s+([0-9a-z]{20})\b")
_ADDRESS = re.compile(r"[!-;=?-~]{1,255}@[!-;=?-~]{1,255}")


class NoReport(ValueError):
    """What was given is no feedback report, or one of something else than a complaint."""


class Feedback(Struct, frozen=True):
    """A complaint, as far as the report tells."""

    #: One of KINDS.
    kind: str
    #: Who complained, "" where that is not told.
    recipient: str
    #: What Received fields of Relay say, the newest first: the host, and the message's id.
    passed: tuple[tuple[str, str], ...]


def feedback(octets: bytes) -> Feedback:
    """The complaint in a report. Raises NoReport."""
    if len(octets) > MOST_OCTETS:
        raise NoReport(f"it is longer than {MOST_OCTETS} octets")
    whole = BytesParser().parsebytes(octets)
    fields = _part(whole, "message/feedback-report")
    if whole.get_content_type() != "multipart/report" or fields is None:
        raise NoReport("it is no multipart/report with a part message/feedback-report (RFC 5965)")
    kind = _said(_headers(fields), "Feedback-Type").lower()
    if kind not in KINDS:
        raise NoReport(f"its Feedback-Type, {kind or 'missing'}, is no complaint")
    original = _part(whole, "message/rfc822") or _part(whole, "text/rfc822-headers")
    passed = _passed(_headers(original)) if original is not None else ()
    if not passed:
        raise NoReport("the message that it returns has no Received field of Relay")
    return Feedback(kind, _recipient(_headers(fields)), passed)


def complainant(text: str) -> str:
    """The address of who complained, its domain in lower case; "" where it is none."""
    address = text.strip().removeprefix("rfc822;").strip(" <>")
    if len(address) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(address):
        return ""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def _part(whole: Message, kind: str) -> Message | None:
    return next((part for part in whole.walk() if part.get_content_type() == kind), None)


def _headers(part: Message) -> Message:
    """The header section in a part: what is message/... has it parsed already."""
    if part.is_multipart():
        return cast(Message, part.get_payload(0))
    text = cast(bytes, part.get_payload(decode=True) or b"").decode("utf-8", "replace")
    return HeaderParser().parsestr(text.lstrip())


def _said(headers: Message, name: str) -> str:
    return str(headers.get(name, "")).strip()


def _recipient(headers: Message) -> str:
    for name in ("Original-Rcpt-To", "Removal-Recipient"):
        if found := complainant(_said(headers, name)):
            return found
    return ""


def _passed(headers: Message) -> tuple[tuple[str, str], ...]:
    fields = [str(field) for field in headers.get_all("Received", [])[:_MOST_FIELDS]]
    found = [_RECEIVED.search(field) for field in fields]
    return tuple((one[1].lower(), one[2]) for one in found if one and is_message_id(one[2]))
