"""The PROXY header: a load balancer's word for whom it speaks (HAProxy's PROXY protocol, 1 and 2).

Only listed proxies are believed, and what they say must come first, whole, and nothing else.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from msgspec import Struct

from relay.mail.address import plain_address

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIRST = re.compile(
    rb"PROXY (?:(TCP4|TCP6) ([0-9A-Fa-f.:]{2,39}) [0-9A-Fa-f.:]{2,39} [0-9]{1,5} [0-9]{1,5}"
    rb"|UNKNOWN(?: [ -~]*)?)\r\n"
)
#: Octets of a header of version 1, and of what follows the fixed part of version 2, at most.
_LONGEST_FIRST = 107
_LONGEST_SECOND = 2048
_FIXED = 16


class Proxied(Struct, frozen=True):
    """Who is behind the proxy ("" where it does not say), and how many octets said so."""

    address: str
    length: int


class NotProxied(Exception):
    """What came is no PROXY header."""


def parse_proxy(octets: bytes) -> Proxied | None:
    """The header that begins the octets; None where more of it must come. Raises NotProxied."""
    if octets[:12] == _SIGNATURE[: len(octets)]:
        return _second(octets)
    if octets[:6] != b"PROXY "[: len(octets)]:
        raise NotProxied
    end = octets.find(b"\n")
    if end < 0:
        if len(octets) >= _LONGEST_FIRST:
            raise NotProxied
        return None
    found = _FIRST.fullmatch(octets, 0, end + 1) if end < _LONGEST_FIRST else None
    if found is None:
        raise NotProxied
    return Proxied(_address(found[1], found[2]) if found[1] else "", end + 1)


def _address(family: bytes, text: bytes) -> str:
    try:
        version = ip_address(text.decode()).version
    except ValueError:
        raise NotProxied from None
    if version != (4 if family == b"TCP4" else 6):
        raise NotProxied
    return plain_address(text.decode()) or ""


def _second(octets: bytes) -> Proxied | None:
    if len(octets) < _FIXED:
        return None
    version_command, family = octets[12], octets[13]
    length = int.from_bytes(octets[14:_FIXED])
    if version_command not in (0x20, 0x21) or length > _LONGEST_SECOND:
        raise NotProxied
    if len(octets) < _FIXED + length:
        return None
    size = {0x11: 4, 0x21: 16}.get(family, 0)
    # LOCAL is the proxy itself, looking whether we live; other families have no address of ours.
    if version_command == 0x20 or not size:
        return Proxied("", _FIXED + length)
    if length < 2 * size + 4:
        raise NotProxied
    source = ip_address(octets[_FIXED : _FIXED + size])
    return Proxied(plain_address(str(source)) or "", _FIXED + length)
