"""The DSN: a multipart/report that tells a sender what became of its message (RFC 3464, RFC 6522).

It has three parts: one for people, one for machines, and the message in question or its header
section. All but the last is ASCII, whatever the remote hosts said. Time and ids are given, so the
same report always makes the same octets. Its envelope is the caller's: from the null sender, to
the sender of the message.
"""

from __future__ import annotations

import re
from binascii import b2a_qp
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from textwrap import wrap

from msgspec import Struct

from relay.mail.returned import header_section, returned_part
from relay.mail.text import ascii_printable, printable

#: Octets of a message that are returned whole at most; of a longer one the header section.
FULL_LIMIT = 50 * 1024

#: The status of a recipient that was given up for age (RFC 3463 section 3.5).
EXPIRED = "4.4.7"
#: The same where its sender had said until when (RFC 2852 section 4).
NOT_IN_TIME = "5.4.7"

_WIDTH = 76
#: Characters of an address or field at most, so that a line stays below 998 (RFC 5322 2.1.1).
_LONGEST = 900
_MESSAGE_ID = re.compile(
    rb"(?:^|\n)message-id:(?:[ \t]|\r\n[ \t]){0,9}(<[!-;=?-~]{1,700}>)", re.IGNORECASE
)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]{1,60}")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
#: What utf-8-addr-xtext spells out (RFC 6533 section 3).
_NOT_QCHAR = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]")


class Action(StrEnum):
    """What was done about a recipient (RFC 3464 section 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    #: The next host took it, and does not promise to report further.
    RELAYED = "relayed"
    EXPANDED = "expanded"


class Reported(Struct, frozen=True):
    """One recipient that a DSN reports on. Texts may be whatever the remote host said."""

    address: str
    action: Action
    #: Enhanced status code; one that is malformed becomes the action's generic one.
    status: str
    #: ORCPT of RFC 3461 section 4.2, still xtext-encoded.
    orcpt: str = ""
    #: The host that answered, "" where none did and the diagnostic is Relay's own.
    host: str = ""
    #: The reply: code, enhanced status code and text.
    diagnostic: str = ""
    #: When it was tried last, and until when it will be, in ms; 0: not said.
    attempted_ms: int = 0
    retry_until_ms: int = 0


class Report(Struct, frozen=True):
    """All that a DSN says. Times are Unix times in milliseconds."""

    #: Its own message id, which its Message-ID is made of.
    id: str
    #: The name of the reporting host, an A-label.
    host: str
    #: Whom it tells: the sender of the message.
    sender: str
    at_ms: int
    #: Of the message in question: its id, and when it was accepted.
    message: str
    accepted_ms: int
    recipients: tuple[Reported, ...]
    #: The message's content, from its beginning: all `size` octets, or as many as were at hand.
    content: bytes
    size: int
    #: Address in the From field; "" for MAILER-DAEMON at the host.
    mailer: str = ""
    #: Address that people are asked to write to; "" for none.
    postmaster: str = ""
    #: ENVID of RFC 3461 section 4.4, still xtext-encoded.
    envid: str = ""
    #: RET of RFC 3461 section 4.3: "", "FULL" or "HDRS".
    ret: str = ""
    full_limit: int = FULL_LIMIT


def dsn(report: Report) -> bytes:
    """The report as a message: lines end in CRLF, none is longer than 998 octets."""
    returned = returned_part(
        report.content,
        complete=report.size <= min(len(report.content), report.full_limit),
        failed=any(r.action is Action.FAILED for r in report.recipients),
        ret=report.ret,
    )
    parts = (_for_people(report, whole=returned.whole), _for_machines(report), returned.part)
    boundary = _boundary(report, parts)
    head = _fields(
        ("From", f"Mail Delivery System <{report.mailer or 'MAILER-DAEMON@' + report.host}>"),
        ("To", f"<{printable(report.sender, _LONGEST)}>"),
        ("Subject", _subject(report)),
        ("Date", _date(report.at_ms)),
        ("Message-ID", f"<{report.id}@{report.host}>"),
        *_threading(report.content),
        ("Auto-Submitted", "auto-replied"),
        ("MIME-Version", "1.0"),
        (
            "Content-Type",
            f'multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
        ),
        *([("Content-Transfer-Encoding", "8bit")] if returned.eight_bit else []),
    )
    delimiter = f"\r\n--{boundary}".encode()
    pieces = [head.encode("utf-8", "replace"), b"\r\nThis is a MIME-encapsulated message.\r\n"]
    for part in parts:
        pieces += [delimiter, b"\r\n", part]
    return b"".join([*pieces, delimiter, b"--\r\n"])


def _boundary(report: Report, parts: Iterable[bytes]) -> str:
    boundary = f"=_relay_{report.id}"
    while any(f"--{boundary}".encode() in part for part in parts):
        boundary += "_"
    return boundary


def _fields(*fields: tuple[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in fields)


def _date(ms: int) -> str:
    return format_datetime(datetime.fromtimestamp(ms // 1000, UTC))


def _subject(report: Report) -> str:
    actions = {r.action for r in report.recipients}
    if Action.FAILED in actions:
        return "Undelivered mail returned to sender"
    if Action.DELAYED in actions:
        return "Delayed mail: still being tried"
    return "Mail delivery report"


def _threading(content: bytes) -> list[tuple[str, str]]:
    found = _MESSAGE_ID.search(header_section(content))
    original = found[1].decode() if found else ""
    return [("In-Reply-To", original), ("References", original)] if original else []


#: The classes of status that go with an action, and what stands for one that does not.
_CLASSES = {
    Action.FAILED: ("45", "5.0.0"),
    Action.DELAYED: ("4", "4.0.0"),
    Action.DELIVERED: ("2", "2.0.0"),
    Action.RELAYED: ("2", "2.0.0"),
    Action.EXPANDED: ("2", "2.0.0"),
}
_SAYING = {
    Action.FAILED: "could not be delivered to these recipients, and will not be tried again:",
    Action.DELAYED: "could not be delivered to these recipients yet. It is still being tried, "
    "so there is no need to send it again:",
    Action.DELIVERED: "was delivered to these recipients:",
    Action.RELAYED: "was handed to the next mail server for these recipients. That server may "
    "not report what becomes of it:",
    Action.EXPANDED: "was passed on to the members of these lists:",
}


def _for_people(report: Report, *, whole: bool) -> bytes:
    lines = [f"This is the mail system at host {report.host}.", ""]
    for action, saying in _SAYING.items():
        concerned = [r for r in report.recipients if r.action is action]
        if concerned:
            lines += [*_wrap(f"Your message of {_date(report.accepted_ms)} {saying}"), ""]
        for recipient in concerned:
            lines += [f"<{printable(recipient.address, 300)}>", *_explained(recipient), ""]
    if report.postmaster:
        lines += [*_wrap(f"If you need help, write to <{report.postmaster}>."), ""]
    attached = "message" if whole else "header section of the message"
    lines += [f"Below are a report for machines and the {attached}.", ""]
    text = "\r\n".join(lines)
    fields = [("Content-Description", "Notification")]
    if text.isascii():
        fields += [("Content-Type", "text/plain; charset=us-ascii")]
        return f"{_fields(*fields)}\r\n{text}".encode()
    fields += [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "quoted-printable"),
    ]
    return f"{_fields(*fields)}\r\n".encode() + b2a_qp(text.encode(), istext=True)


def _explained(recipient: Reported) -> list[str]:
    answer = printable(recipient.diagnostic) or f"status {_status(recipient)}"
    if recipient.host:
        answer = f"host {printable(recipient.host, 255)} said: {answer}"
    if recipient.action is Action.DELAYED:
        answer = f"it was to be delivered by now; at last: {answer}"
    elif recipient.status in (EXPIRED, NOT_IN_TIME):
        answer = f"it was tried until its time was over; at last: {answer}"
    return _wrap(answer, "    ", "    ")


def _wrap(text: str, first: str = "", rest: str = "") -> list[str]:
    return wrap(text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _for_machines(report: Report) -> bytes:
    groups = [
        _fields(
            ("Reporting-MTA", f"dns; {report.host}"),
            *([("Original-Envelope-Id", _plain(report.envid))] if report.envid else []),
            ("X-Relay-Message-Id", report.message),
            ("Arrival-Date", _date(report.accepted_ms)),
        )
    ]
    groups += [_about(recipient) for recipient in report.recipients]
    head = _fields(
        ("Content-Description", "Delivery report"), ("Content-Type", "message/delivery-status")
    )
    return "\r\n".join([head, *groups]).encode()


def _about(recipient: Reported) -> str:
    fields = [
        ("Original-Recipient", _original(recipient.orcpt)),
        (
            "Final-Recipient",
            _typed("utf-8" if not recipient.address.isascii() else "rfc822", recipient.address),
        ),
        ("Action", recipient.action.value),
        ("Status", _status(recipient)),
        ("Remote-MTA", f"dns; {ascii_printable(recipient.host, 255)}" if recipient.host else ""),
        ("Diagnostic-Code", _diagnostic(recipient)),
        ("Last-Attempt-Date", _date(recipient.attempted_ms) if recipient.attempted_ms else ""),
        ("Will-Retry-Until", _date(recipient.retry_until_ms) if recipient.retry_until_ms else ""),
    ]
    return _fields(*((name, value) for name, value in fields if value))


def _status(recipient: Reported) -> str:
    classes, otherwise = _CLASSES[recipient.action]
    if _STATUS.fullmatch(recipient.status) and recipient.status[0] in classes:
        return recipient.status
    return otherwise


def _diagnostic(recipient: Reported) -> str:
    if not recipient.diagnostic:
        return ""
    # "smtp" says that these are a host's own words (RFC 3464 section 2.3.6).
    words = ("smtp; " if recipient.host else "x-relay; ") + ascii_printable(recipient.diagnostic)
    return "\r\n".join(_wrap(words, " " * len("Diagnostic-Code: "), "    ")).lstrip()


def _original(orcpt: str) -> str:
    kind, semicolon, address = orcpt.partition(";")
    if not semicolon or not _ADDRESS_TYPE.fullmatch(kind):
        return ""
    return _typed(kind, _XTEXT.sub(lambda found: chr(int(found[1], 16)), address))


def _typed(kind: str, address: str) -> str:
    if kind.lower() == "utf-8" and not address.isascii():
        address = _NOT_QCHAR.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", address)
    return f"{kind}; {ascii_printable(address, _LONGEST)}"


def _plain(xtext: str) -> str:
    return ascii_printable(_XTEXT.sub(lambda found: chr(int(found[1], 16)), xtext), _LONGEST)
