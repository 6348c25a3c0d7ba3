"""Ends of data that some host takes for one and RFC 5321 does not; none may end content."""

from __future__ import annotations

#: Within content each is followed by a second message's commands; none may ever be obeyed.
VARIANTS: dict[str, bytes] = {
    "LF . LF": b"\n.\n",
    "LF . CRLF": b"\n.\r\n",
    "CR . CR": b"\r.\r",
    "CRLF . CR": b"\r\n.\r",
    "CRLF . LF": b"\r\n.\n",
    "CRCRLF . CRCRLF": b"\r\r\n.\r\r\n",
    "CRLF NUL . CRLF": b"\r\n\x00.\r\n",
    "CR . CRLF": b"\r.\r\n",
    "CRLF . CRCRLF": b"\r\n.\r\r\n",
    "CRLF . NUL CRLF": b"\r\n.\x00\r\n",
    "LF . CR": b"\n.\r",
    "CR . LF": b"\r.\n",
}

SMUGGLED = (
    b"MAIL FROM:<evil@evil.example>\r\nRCPT TO:<victim@d.example>\r\nDATA\r\n"
    b"Subject: smuggled\r\n\r\nnever sent"
)


def smuggling(variant: bytes) -> bytes:
    """Content, to its true end, that holds a second message behind the variant."""
    return b"Subject: first\r\n\r\nbody" + variant + SMUGGLED + b"\r\n.\r\n"
