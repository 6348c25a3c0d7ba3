"""Access: which clients may submit messages, and how much of a process they may take up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from msgspec import Struct

from relay.ingress.pace import Pace
from relay.mail import answers
from relay.mail.address import plain_address
from relay.mail.reply import Reply
from relay.policy.credential import counts_as

Network = IPv4Network | IPv6Network

#: Only what runs on this machine may submit, unless the settings say otherwise.
LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def client_address(peer: object) -> str:
    """The client's IP address from what the socket says; `""` where it is none (a unix socket).

    In one notation, whatever the socket's family: see `plain_address`.
    """
    if not isinstance(peer, tuple) or not peer:
        return ""
    return plain_address(str(peer[0])) or ""


def is_allowed(address: str, networks: Iterable[Network]) -> bool:
    """Whether the address lies in one of the networks; never, where there is no address."""
    if not address:
        return False
    client = ip_address(address)
    return any(client.version == network.version and client in network for network in networks)


class Limits(Struct, frozen=True, kw_only=True):
    """What clients may take up of a process. A client is an IPv4 address or a /64 of IPv6."""

    #: Sessions in all, and of one client.
    connections: int = 1000
    per_client: int = 100
    #: Connections a minute of a client that may submit, and of any other; 0: no limit.
    connection_rate: int = 0
    stranger_rate: int = 60
    #: Messages a minute, and refused commands a minute, in all sessions of a client; 0: no limit.
    message_rate: int = 0
    error_rate: int = 300


class Gate:
    """Counts what clients do in a process, and says when it is too much. Times in seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._friends = Pace(limits.connection_rate)
        self._strangers = Pace(limits.stranger_rate)
        self._messages = Pace(limits.message_rate)
        self._errors = Pace(limits.error_rate)
        #: How many messages a client sends is limited: else nobody need be told of them.
        self.paced = limits.message_rate > 0
        self.open = 0

    def enter(self, address: str, now: float, *, stranger: bool = False) -> Reply | None:
        """None where the session was counted, else why it must not begin."""
        if self.open >= self._limits.connections:
            return answers.TOO_MANY_CONNECTIONS
        client, pace = counts_as(address), self._strangers if stranger else self._friends
        if self._open[client] >= self._limits.per_client:
            return answers.TOO_MANY_FROM_ADDRESS
        if pace.over(client, now):
            return answers.CONNECTS_TOO_OFTEN
        if self._errors.over(client, now):
            return answers.ERRS_TOO_OFTEN
        pace.note(client, now)
        self.add(address)
        return None

    def add(self, address: str) -> None:
        """Count a session, however many there are."""
        self.open += 1
        self._open[counts_as(address)] += 1

    def leave(self, address: str) -> None:
        """A session that had entered is over."""
        client = counts_as(address)
        self.open -= 1
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]

    def erred(self, address: str, now: float) -> None:
        """The client said something that was refused for good."""
        self._errors.note(counts_as(address), now)

    def sent(self, address: str, now: float) -> None:
        """The client sent a message."""
        self._messages.note(counts_as(address), now)

    def may_send(self, address: str, now: float) -> Reply | None:
        """None where the client may send a message now, else why not."""
        return answers.SENDS_TOO_OFTEN if self._messages.over(counts_as(address), now) else None


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
