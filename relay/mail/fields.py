"""Header fields on their way out: checked, encoded and folded, so that none begins another one.

Nothing with a control character gets this far, wherever it came from: a field's value cannot end
its line (RFC 5322 section 2.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.header import Header

#: Octets of a line where it is folded (RFC 5322 section 2.1.1).
WIDTH = 76
#: Octets of a value at most: what cannot be folded still is a line below 998.
LONGEST_VALUE = 900
_NAME = re.compile(r"[!-9;-~]{1,76}")
_WORD = re.compile(r"\s*\S+")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}@[!-;=?-~]{1,250}>")
#: A value with this is encoded whole, as it would be decoded otherwise.
_ENCODED = "=?"
_CRLF = "\r\n"

#: Fields that are made of something else, that a relay or receiver writes, or that say how content
#: is encoded: nobody may give them.
RESERVED = frozenset(
    (
        *("from", "to", "cc", "bcc", "reply-to", "subject", "date", "mime-version"),
        *("received", "return-path", "delivered-to", "authentication-results", "dkim-signature"),
        *("content-type", "content-transfer-encoding", "content-disposition", "content-id"),
        *("arc-seal", "arc-message-signature", "arc-authentication-results"),
        *("resent-from", "resent-to", "resent-cc", "resent-bcc", "resent-date", "resent-sender"),
    )
)


def name_fault(name: str) -> str:
    """Why a field of that name may not be given, `""` where it may."""
    if not _NAME.fullmatch(name):
        return "is no name of a header field"
    return "is not to be given here: Relay makes it" if name.lower() in RESERVED else ""


def value_fault(name: str, value: str) -> str:
    """Why the value cannot stand in a header field, `""` where it can."""
    if not _clean(value):
        return "has a control character or line end"
    if len(value.encode()) > LONGEST_VALUE * (1 if value.isascii() else 4):
        return f"is longer than {LONGEST_VALUE} octets"
    if max(map(len, value.split()), default=0) > LONGEST_VALUE:
        return f"has a word longer than {LONGEST_VALUE} octets"
    if name.lower() == "message-id" and not _MESSAGE_ID.fullmatch(value.strip()):
        return "is no message id of the form <left@right>"
    return ""


def _clean(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return value.isprintable() or not any(
        ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in value
    )


def field(name: str, value: str) -> str:
    """A field with its CRLF; what is beyond ASCII becomes encoded words (RFC 2047)."""
    value = value.strip()
    if value.isascii() and _ENCODED not in value:
        if len(name) + 2 + len(value) <= WIDTH:
            return f"{name}: {value}\r\n"
        return f"{name}: {_folded(value, len(name) + 2)}\r\n"
    header = Header(value, "utf-8", maxlinelen=WIDTH, header_name=name)
    return f"{name}: {header.encode(linesep=_CRLF)}{_CRLF}"


def listed(name: str, items: Sequence[str]) -> str:
    """A field of items with commas between, as many on a line as fit."""
    lines = [f"{name}:"]
    for at, item in enumerate(items):
        word = f" {item}," if at < len(items) - 1 else f" {item}"
        if len(lines[-1]) + len(word) > WIDTH and at:
            lines.append("")
        lines[-1] += word
    return "\r\n".join(lines) + "\r\n"


def _folded(value: str, taken: int) -> str:
    """The value with line ends where it has space, each before a word that would not fit."""
    lines = [""]
    room = WIDTH - taken
    for word in _WORD.findall(value):
        if lines[-1] and len(lines[-1]) + len(word) > room:
            lines.append("")
            room = WIDTH
        lines[-1] += word
    return "\r\n".join(lines)
