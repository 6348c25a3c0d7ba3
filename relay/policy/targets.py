"""Which addresses may be connected to: public ones, and those the settings allow.

Whoever writes an MX record chooses where we connect to, so without this a domain could point us at
a service inside our own network. Refused is what the IANA registries of special addresses hold,
also where such an address is embedded in an IPv6 one, and our own addresses. The check is made on
the address that is connected to, not on a name, which could lead elsewhere a moment later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_SPECIAL_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_SPECIAL_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "private"),
        ("100::/64", "discard-only"),
        ("2001:2::/48", "benchmarking"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_PROTOCOLS_V6 = IPv6Network("2001::/23")
_TEREDO = IPv6Network("2001::/32")
_6TO4 = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")
#: Interface identifiers of ISATAP (RFC 5214 section 6.1) without the universal and group bits.
_ISATAP = 0x00005EFE


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks from `10.0.0.0/8`, `::1/128` or single addresses. Raises ValueError."""
    return tuple(ip_network(text, strict=False) for text in texts)


def refusal(
    address: str, *, allowed: Collection[Network] = (), own: Collection[Address] = ()
) -> str:
    """Why `address` may not be connected to, such as "loopback"; "" where it may be.

    `allowed` are the networks that the settings allow, and win; `own` are this machine's addresses.
    An IPv4 address written as IPv6 (::ffff:10.0.0.1) is judged as what it is.
    """
    try:
        target = plain(ip_address(address))
    except ValueError:
        return "no address"
    if any(target in network for network in allowed):
        return ""
    if target in own or any(embedded in own for embedded in _embedded(target)):
        return "own"
    return _special(target)


def plain(address: Address) -> Address:
    """The address itself, where it is an IPv4 address written as IPv6."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _special(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _SPECIAL_V4 if address in network), "")
    kind = next((kind for network, kind in _SPECIAL_V6 if address in network), "")
    if kind:
        return kind
    if _reserved(address):
        return "reserved"
    return next((f"{kind}, embedded" for kind in map(_special, _embedded(address)) if kind), "")


def _reserved(address: IPv6Address) -> bool:
    if address in _NAT64 or address in _TEREDO:
        return False
    return address not in _GLOBAL_V6 or address in _PROTOCOLS_V6


def _embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that packets to an IPv6 address may end at."""
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    if address in _NAT64 or (number >> 32) & 0xFCFFFFFF == _ISATAP:
        return (IPv4Address(number & 0xFFFFFFFF),)
    if address in _6TO4:
        return (IPv4Address((number >> 80) & 0xFFFFFFFF),)
    if address in _TEREDO:
        return (IPv4Address((number >> 64) & 0xFFFFFFFF), IPv4Address(~number & 0xFFFFFFFF))
    return ()
