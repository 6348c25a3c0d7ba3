"""The trace: the Received header that reception writes, and how many a message already has.

RFC 5321 section 4.4, with the `with` keywords of RFC 3848.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from relay.mail.header import section_end


def with_keyword(
    *, extended: bool, secure: bool, authenticated: bool = False, smtputf8: bool = False
) -> str:
    """SMTP after HELO, ESMTP after EHLO; S inside TLS, A after AUTH (RFC 3848); UTF8SMTP where the
    message needs it (RFC 6531 section 4.3)."""
    if not (extended or secure):
        return "SMTP"
    return f"{'UTF8SMTP' if smtputf8 else 'ESMTP'}{'S' * secure}{'A' * authenticated}"


@lru_cache(maxsize=1024)
def received_from(name: str, client: str, hostname: str, keyword: str) -> bytes:
    """The part that is the same for all messages of a session.

    `name` is what the client called itself, as `relay.mail.command` let it pass; `client` is its
    address, `""` where there is none.
    """
    literal = f"IPv6:{client}" if ":" in client else client
    source = f"{name} ([{literal}])" if client else name
    return f"Received: from {source}\r\n\tby {hostname} (Relay) with {keyword} id ".encode()


def received(session: bytes, message: str, seconds: int) -> bytes:
    """The whole header field, from `received_from`, the message's id and the Unix time."""
    return b"%b%b;\r\n\t%b\r\n" % (session, message.encode(), date(seconds))


def received_by(hostname: str, keyword: str, message: str, written: str) -> bytes:
    """The whole field for a message that came otherwise than over SMTP, from its date as written.

    Where the client is goes into the log, and not out with the message.
    """
    return (
        f"Received: by {hostname} (Relay) with {keyword} id {message};\r\n\t{written}\r\n".encode()
    )


@lru_cache(maxsize=2)
def date(seconds: int) -> bytes:
    """The time as RFC 5322 section 3.3 writes it."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC)).encode()


def hops(content: bytes) -> int:
    """How many Received header fields stand in the header section (RFC 5321 section 6.3).

    `content` is the first chunk; what is beyond it is not counted.
    """
    return received_fields(content[: section_end(content)])


def received_fields(section: bytes) -> int:
    """How many stand in that header section."""
    lowered = section.lower()
    return lowered.count(b"\r\nreceived:") + lowered.startswith(b"received:")
