"""Access: which clients may submit messages, and how much of a process they may take up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from relay.mail import answers
from relay.mail.reply import Reply

Network = IPv4Network | IPv6Network

#: Only what runs on this machine may submit, unless the settings say otherwise.
LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def client_address(peer: object) -> str:
    """The client's IP address from what the socket says; `""` where it is none (a unix socket).

    An IPv4 address mapped into IPv6 is that IPv4 address, so that no list of networks is passed by
    in another notation (RFC 4291 section 2.5.5.2); a zone is left out.
    """
    if not isinstance(peer, tuple) or not peer:
        return ""
    address = ip_address(str(peer[0]).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def is_allowed(address: str, networks: Iterable[Network]) -> bool:
    """Whether the address lies in one of the networks; never, where there is no address."""
    if not address:
        return False
    client = ip_address(address)
    return any(client.version == network.version and client in network for network in networks)


class Gate:
    """Counts a process's sessions, in all and by client, and refuses those that are too many."""

    def __init__(self, *, connections: int, per_address: int) -> None:
        self._connections = connections
        self._per_address = per_address
        self._open: Counter[str] = Counter()
        self.open = 0

    def enter(self, address: str) -> Reply | None:
        """None where the session was counted, else why it must not begin."""
        if self.open >= self._connections:
            return answers.TOO_MANY_CONNECTIONS
        client = _client(address)
        if self._open[client] >= self._per_address:
            return answers.TOO_MANY_FROM_ADDRESS
        self.open += 1
        self._open[client] += 1
        return None

    def leave(self, address: str) -> None:
        """A session that had entered is over."""
        client = _client(address)
        self.open -= 1
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]


def _client(address: str) -> str:
    """Who counts as one: an IPv4 address, or a /64 of IPv6, which one client may use up at will."""
    if ":" not in address:
        return address
    return str(IPv6Network((address, 64), strict=False))


class Memory:
    """Octets of content that a process holds until they are accepted or refused, all together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @property
    def full(self) -> bool:
        """More is held than may be."""
        return self.used > self.limit
