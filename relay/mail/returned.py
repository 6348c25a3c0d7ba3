"""What a DSN returns of the message it is about: all, or its header section (RFC 3461, 4.3)."""

from __future__ import annotations

import re
from binascii import b2a_qp

from msgspec import Struct

#: Octets of a line at most, its end not counted (RFC 5322 section 2.1.1).
_LONGEST_LINE = 998
#: Octets of a header section that are returned at most.
_MOST_HEADERS = 64 * 1024
_LINE_END = re.compile(rb"\r\n|\r|\n")


class Returned(Struct, frozen=True):
    """The last part of a report, its own header fields included."""

    part: bytes
    whole: bool
    eight_bit: bool


def header_section(content: bytes) -> bytes:
    """The header fields of a message, without the empty line; whole lines where it was cut."""
    if content.startswith(b"\r\n"):
        return b""
    end = content.find(b"\r\n\r\n", 0, _MOST_HEADERS)
    if end < 0:
        end = content.rfind(b"\r\n", 0, _MOST_HEADERS)
    return content[: end + 2] if end >= 0 else b""


def returned_part(content: bytes, *, complete: bool, failed: bool, ret: str) -> Returned:
    """The part for a message of which `content` is the beginning, or all where it is `complete`.

    The whole message is returned where something failed, unless headers only were asked for. One
    with octets above 127 only where the sender asked for all of it: else they might be what makes
    the report itself undeliverable.
    """
    if complete and failed and ret != "HDRS" and _lines_are_sound(content):
        eight_bit = not content.isascii()
        if not eight_bit or ret == "FULL":
            return _whole(content, eight_bit=eight_bit)
    return _headers(header_section(content))


def _lines_are_sound(data: bytes) -> bool:
    """Whether every line ends in CRLF and is short enough to be carried as it is."""
    ends = data.count(b"\r\n")
    if data.count(b"\r") != ends or data.count(b"\n") != ends or b"\0" in data:
        return False
    return len(data) <= _LONGEST_LINE or max(map(len, data.split(b"\r\n"))) <= _LONGEST_LINE


def _whole(content: bytes, *, eight_bit: bool) -> Returned:
    # UTF-8 in header fields makes it another media type (RFC 6532 section 3.7).
    kind = b"rfc822" if header_section(content).isascii() else b"global"
    encoding = b"Content-Transfer-Encoding: 8bit\r\n" if eight_bit else b""
    head = b"Content-Description: Undelivered message\r\nContent-Type: message/%b\r\n%b\r\n"
    return Returned(head % (kind, encoding) + content, whole=True, eight_bit=eight_bit)


def _headers(section: bytes) -> Returned:
    encoding = b""
    if not section.isascii() or not _lines_are_sound(section):
        # Allowed for header sections that are not legal as they are (RFC 6522 section 4).
        section = b2a_qp(_LINE_END.sub(b"\r\n", section), istext=True)
        encoding = b"Content-Transfer-Encoding: quoted-printable\r\n"
    head = b"Content-Description: Message header\r\nContent-Type: text/rfc822-headers\r\n%b\r\n"
    return Returned(head % encoding + section, whole=False, eight_bit=False)
