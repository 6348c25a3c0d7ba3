"""The PROXY header, versions 1 and 2."""

from __future__ import annotations

import socket

import pytest

from relay.mail.proxy import NotProxied, Proxied, parse_proxy

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def second(address: str, *, command: int = 0x21, more: bytes = b"", length: int = -1) -> bytes:
    """A header of version 2."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    pair = socket.inet_pton(family, address) * 2 + b"\0\1\0\2" + more
    kind = b"\x21" if ":" in address else b"\x11"
    size = len(pair) if length < 0 else length
    return SIGNATURE + bytes([command]) + kind + size.to_bytes(2, "big") + pair


GOOD = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", "192.0.2.1"),
    (b"PROXY TCP6 2001:DB8::1 ::1 1 25\r\n", "2001:db8::1"),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 25\r\n", "192.0.2.1"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN whatever it says\r\n", ""),
    (second("192.0.2.1"), "192.0.2.1"),
    (second("2001:db8::1", more=b"\x03\0\4abcd"), "2001:db8::1"),
    (second("::ffff:127.0.0.1"), "127.0.0.1"),
    (second("192.0.2.1", command=0x20), ""),
]


@pytest.mark.parametrize(("header", "address"), GOOD)
def test_it_tells_who_is_behind_the_proxy_however_it_is_cut(header: bytes, address: str) -> None:
    for end in range(len(header)):
        assert parse_proxy(header[:end]) is None
    assert parse_proxy(header + b"EHLO x\r\n") == Proxied(address, len(header))


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.999 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        b"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
        b"PROXY " + b"x" * 101,
        b"\r\n\r\n\0\r\nQUIT\r",
        second("192.0.2.1", command=0x31),
        second("192.0.2.1", command=0x22),
        second("192.0.2.1", length=4),
        second("192.0.2.1", length=4096),
    ],
)
def test_what_is_no_header_is_told_at_once(octets: bytes) -> None:
    with pytest.raises(NotProxied):
        parse_proxy(octets)
