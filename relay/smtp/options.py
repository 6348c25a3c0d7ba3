"""What a connection is told: where to, and how; values in seconds where they are times."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from relay.policy.tls import Requirement, TlsMode


class Target(Struct, frozen=True):
    """One address of one host; `host` is the name that TLS asks for, `address` an IP address."""

    host: str
    address: str
    port: int
    #: What a session with it needs; None: what `ConnectOptions.tls` says.
    needs: Requirement | None = None


class Timeouts(Struct, frozen=True):
    """How long each phase may take; the defaults are those of RFC 5321 section 4.5.3.2."""

    #: From the first SYN to the connection (Postfix's smtp_connect_timeout).
    connect: float = 30.0
    #: To the 220 greeting.
    greeting: float = 300.0
    #: To the reply to EHLO, and again to HELO.
    ehlo: float = 300.0
    #: To the end of the TLS handshake; the handshake alone never gets more than 60.
    starttls: float = 300.0
    #: To the reply to MAIL, or to an RSET before it.
    mail: float = 300.0
    #: To the reply to each RCPT.
    rcpt: float = 300.0
    #: To the reply to DATA.
    data: float = 120.0
    #: Until the peer has taken a piece of content (64 KiB at most).
    block: float = 180.0
    #: To the reply to the final dot.
    dot: float = 600.0
    #: To the reply to QUIT; nothing depends on it.
    quit: float = 5.0


class SessionLimits(Struct, frozen=True):
    """When a session ends by itself, with QUIT, at the end of the transaction in hand."""

    #: Transactions in one session; a host may announce fewer (RFC 9422).
    messages: int = 100
    #: Seconds since it was started.
    age: float = 300.0
    #: Seconds without a transaction.
    idle: float = 5.0


class ConnectOptions(Struct, frozen=True):
    """How to connect. `permitted` is asked for the address given, and for the one connected to."""

    #: Our name, for EHLO.
    hello: str
    #: Whether an IP address may be connected to (loopback, private and own addresses may not be).
    permitted: Callable[[str], bool]
    #: The local IP address to connect from; "" leaves it to the kernel.
    source: str = ""
    tls: TlsMode = TlsMode.OPPORTUNISTIC
    timeouts: Timeouts = Timeouts()
    limits: SessionLimits = SessionLimits()
    #: File of the certificates (PEM) that vouch for hosts, "" for the system's trust store.
    authorities: str = ""
