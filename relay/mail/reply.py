"""SMTP replies: code, enhanced status code and text (RFC 5321 section 4.2, RFC 3463)."""

from __future__ import annotations

import re

from msgspec import Struct

#: A leading enhanced status code in a reply's text (RFC 2034 section 3, RFC 3463 section 2).
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


class Reply(Struct, frozen=True, array_like=True):
    """What a server answered, or what stands for its silence.

    `code` is the three-digit reply code; `enhanced` the enhanced status code, `""` where none
    was given; `text` the rest, lines joined by a blank.
    """

    code: int
    enhanced: str = ""
    text: str = ""

    @property
    def positive(self) -> bool:
        """The command was accepted (2yz)."""
        return 200 <= self.code < 300

    @property
    def permanent(self) -> bool:
        """The server says that trying again will not help (5yz)."""
        return 500 <= self.code < 600

    @property
    def status(self) -> str:
        """The enhanced status code, or the generic one of the class (RFC 3463 section 3.1)."""
        return self.enhanced or f"{self.code // 100}.0.0"

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)

    def wire(self) -> bytes:
        """The reply as one line to send, CRLF included."""
        return f"{self}\r\n".encode("ascii", "replace")


def reply_of(code: int, text: str) -> Reply:
    """A reply from its code and text, its enhanced status code split off where there is one."""
    found = _ENHANCED.match(text)
    if found and found[1][0] == str(code)[:1]:
        return Reply(code, found[1], text[found.end() :])
    return Reply(code, "", text)
