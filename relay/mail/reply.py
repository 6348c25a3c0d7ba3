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


#: What an operator's own reply is, as far as its text is not given (RFC 3463 section 3.8).
_BY_OPERATOR = "550 5.7.1"
#: Octets of it at most; a reply's line has 512 (RFC 5321 section 4.5.3.1.5).
_LONGEST = 255
_PERMANENT = re.compile(r"5[0-9]{2} 5\.[0-9]{1,3}\.[0-9]{1,3} [!-~][ -~]*")


def bounce_reply(text: str) -> Reply:
    """The permanent reply that a text stands for: whole, or without its codes, 550 5.7.1 then.

    Raises ValueError where it is none, or not a line of ASCII.
    """
    said = text if re.match(r"[0-9]{3}( |$)", text) else f"{_BY_OPERATOR} {text}"
    if not _PERMANENT.fullmatch(said) or len(said) > _LONGEST:
        raise ValueError(
            f'{text!r} is no permanent reply: write a text, or "550 5.7.1 text", in ASCII and at '
            f"most {_LONGEST} characters"
        )
    return reply_of(int(said[:3]), said[4:])


def reply_of(code: int, text: str) -> Reply:
    """A reply from its code and text, its enhanced status code split off where there is one."""
    found = _ENHANCED.match(text)
    if found and found[1][0] == str(code)[:1]:
        return Reply(code, found[1], text[found.end() :])
    return Reply(code, "", text)
