"""How settings name a place to connect to: a host and a port in one text."""

from __future__ import annotations

import ipaddress

from msgspec import Struct


class Endpoint(Struct, frozen=True):
    """A host or an address (without brackets) and its port."""

    host: str
    port: int

    @property
    def is_address(self) -> bool:
        """The host is an IP address, so nothing has to be looked up."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str, default_port: int) -> Endpoint:
    """What `host`, `host:port`, `192.0.2.1:25`, `[2001:db8::1]:25` or `2001:db8::1` stands for.

    Raises ValueError for anything else.
    """
    host, port = _split(text.strip())
    if not host or any(not character.isprintable() or character in "[] @/" for character in host):
        raise ValueError(f"{text!r} is no host:port")
    number = default_port if port == "" else int(port) if port.isascii() and port.isdigit() else 0
    if not 0 < number < 65536:
        raise ValueError(f"{text!r}: the port must be from 1 to 65535")
    return Endpoint(_canonical(host), number)


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and (not rest.startswith(":") or rest == ":")):
            raise ValueError(f"{text!r} is no [address]:port")
        ipaddress.ip_address(host)
        return host, rest[1:]
    if text.count(":") > 1:
        ipaddress.IPv6Address(text)
        return text, ""
    host, colon, port = text.partition(":")
    if colon and not port:
        raise ValueError(f"{text!r}: the port is missing")
    return host, port


def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().removesuffix(".")
