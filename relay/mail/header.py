"""The header section as far as reception looks into it: its fields, whom From names, and the fixes
that a message may have at submission (RFC 5322 section 3.6, RFC 6409 section 8)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from relay.mail.address import BadAddress, parse_mailbox

# Possessive or atomic throughout: matching is linear, whatever comes in. See relay.mail.address for
# `(?>`.
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:[^\r\n]*+(?>(?:\r\n[ \t][^\r\n]*+)*)\r\n")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
#: A comment that no reader takes for anything else.
_COMMENT = re.compile(r"\([^()<>@\"\\,;:]*+\)")
_ITEM = re.compile(r'[^",]*+(?>(?:"[^"\\]*+(?>(?:\\.[^"\\]*+)*)"[^",]*+)*)')
_QUOTED = r'"[^"\\]*+(?>(?:\\[ -~][^"\\]*+)*)"'
_BARE = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u00a0-\U0010ffff \t-]*+"
_WORDS = rf"{_BARE}(?>(?:{_QUOTED}{_BARE})*)"
_NAMED = re.compile(rf'{_WORDS}<([^<>\s"]++|{_QUOTED}@[^<>\s"]++)>[ \t]*+')
_TLS_OPTIONAL = re.compile(
    rb"(?:^|\n)TLS-Required:[ \t]*+(?>(?:\r\n[ \t]++)*)No[ \t]*+\r?$", re.IGNORECASE | re.MULTILINE
)
#: Characters of a From field that are looked at.
_LONGEST_FROM = 10_000

#: What has no place in a message that is submitted: blind copies, and what is written at delivery.
_STRAY = frozenset((b"bcc", b"resent-bcc", b"return-path"))


def lets_tls_fail(section: bytes) -> bool:
    """Whether `TLS-Required: No` stands in it (RFC 8689 section 3)."""
    return b"tls-required:" in section.lower() and _TLS_OPTIONAL.search(section) is not None


def section_end(content: bytes) -> int:
    """The offset behind the last header field; the end of all where there is no empty line."""
    if content.startswith(b"\r\n"):
        return 0
    end = content.find(b"\r\n\r\n")
    return len(content) if end < 0 else end + 2


def fields(section: bytes) -> Iterator[tuple[bytes, int, int]] | None:
    """Each field's name in lower case, where it begins and where it ends; None for a section with
    a line that belongs to no field: a reader may take it for the end of the section."""
    found: list[tuple[bytes, int, int]] = []
    at = 0
    while at < len(section):
        field = _FIELD.match(section, at)
        if field is None:
            return None
        found.append((field[1].lower(), at, field.end()))
        at = field.end()
    return iter(found)


def authors(section: bytes) -> list[str] | None:
    """The addresses in From, in canonical form; None where they cannot be told for certain.

    There must be one field, of plain mailboxes: whatever two readers may read differently names
    nobody. Groups and nested comments are such.
    """
    known = fields(section)
    places = [(start, end) for name, start, end in known or () if name == b"from"]
    if len(places) != 1:
        return None
    start, end = places[0]
    value = _FOLD.sub(b"", section[start:end].partition(b":")[2]).rstrip(b"\r\n")
    try:
        text = value[: _LONGEST_FROM + 1].decode()
    except UnicodeDecodeError:
        return None
    if len(text) > _LONGEST_FROM or any(ord(char) < 32 and char != "\t" for char in text):
        return None
    return _mailboxes(_COMMENT.sub(" ", text))


def _mailboxes(text: str) -> list[str] | None:
    found = []
    at = 0
    while True:
        item = _ITEM.match(text, at)
        # The pattern matches nothing at all where a quote is not closed.
        address = _mailbox(item[0].strip()) if item is not None else None
        if item is None or address is None:
            return None
        found.append(address)
        if item.end() == len(text):
            return found
        if text[item.end()] != ",":
            return None
        at = item.end() + 1


def _mailbox(text: str) -> str | None:
    named = _NAMED.fullmatch(text)
    address = parse_mailbox(named[1] if named else text, smtputf8=True)
    return None if isinstance(address, BadAddress) else address


def fixed(content: bytes, date: bytes, message_id: bytes) -> tuple[bytes, bytes] | None:
    """What goes in front of the content, a Date and a Message-ID where it lacks them; and the rest,
    without blind copies.

    `content` is its first chunk, which has the whole header section. None where that is malformed.
    """
    end = section_end(content)
    known = fields(content[:end])
    if known is None:
        return None
    names = set()
    kept: list[bytes] = []
    stray = False
    for name, start, after in known:
        names.add(name)
        if name in _STRAY:
            stray = True
        else:
            kept.append(content[start:after])
    added = b""
    if b"date" not in names:
        added += b"Date: %b\r\n" % date
    if b"message-id" not in names:
        added += b"Message-ID: <%b>\r\n" % message_id
    if not stray:
        return added, content
    return added, b"".join([*kept, content[end:]])
