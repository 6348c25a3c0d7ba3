"""Settings of reception: where messages come in over SMTP, from whom, and within which limits."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from relay.config.values import Duration, Endpoints, Extensions, Group, Networks, Size

_RELAYED = (
    *("DSN", "SMTPUTF8", "CHUNKING", "BINARYMIME", "REQUIRETLS", "DELIVERBY", "MT-PRIORITY"),
    "LIMITS",
)
_ANNOUNCE = (
    "Service extensions that are announced, besides PIPELINING, SIZE, 8BITMIME and "
    "ENHANCEDSTATUSCODES. REQUIRETLS is inside TLS alone, and where certificates of hosts are "
    "verified (`delivery.security`)."
)
_PROXIES = (
    "Load balancers: each connection of theirs must begin with a PROXY header (version 1 or 2), "
    "whose client counts. What others say of that kind ends their session."
)
_XCLIENTS = "Clients that may speak for others by XCLIENT, as a content filter does."
_CLEAR = (
    "Clients that may log in outside TLS, such as `127.0.0.0/8`; others see AUTH inside TLS alone."
)


class TlsSettings(Group):
    """TLS for clients of every listener; without a certificate there is none. Both files are read
    again when they change, without a restart."""

    certificate: str = Field(default="", description="File of the certificate chain, PEM.")
    key: str = Field(default="", description="File of the private key, PEM.")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key must be set together: set both, or neither")
        return self


class SmtpLimits(Group):
    """What one client may ask for before it is refused or cut off."""

    message_size: Size = Field(
        default=50 << 20, ge=64 << 10, le=1 << 30, description="Octets of one message (552 beyond)."
    )
    header_size: Size = Field(
        default=128 << 10,
        ge=16 << 10,
        le=250 << 10,
        description="Octets of a message's header section (552 beyond).",
    )
    recipients: int = Field(
        default=1000, ge=100, le=50_000, description="Recipients of one message (452 beyond)."
    )
    errors: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Refused commands in a session before it is ended (421).",
    )
    logins: int = Field(
        default=3, ge=1, le=100, description="Failed logins in a session before it is ended (421)."
    )
    hold: Duration = Field(
        default=7 * 86400.0,
        ge=60,
        le=365 * 86400,
        description="How long a client may have a message held before it is sent (FUTURERELEASE).",
    )
    commands: int = Field(
        default=1000,
        ge=10,
        description="Commands between two messages before the session is ended (421).",
    )
    hops: int = Field(
        default=50,
        ge=10,
        le=200,
        description="Received header fields of a message that is no loop yet.",
    )
    idle: Duration = Field(
        default=300.0, ge=1, le=3600, description="Silence after which a session is ended (421)."
    )
    message_time: Duration = Field(
        default=600.0,
        ge=10,
        le=86400,
        description="Time for the content of one message to come in.",
    )
    connections: int = Field(
        default=1000, ge=1, le=60_000, description="Sessions of one process (421 beyond)."
    )
    connections_per_address: int = Field(
        default=100,
        ge=1,
        le=60_000,
        description="Sessions of one process from one address (421 beyond).",
    )
    connection_rate: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Connections a minute to one process from an address that may submit (421 "
        "beyond); 0: no limit.",
    )
    stranger_rate: int = Field(
        default=60,
        ge=0,
        le=1_000_000,
        description="The same from an address in none of the networks.",
    )
    message_rate: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Messages a minute to one process from one address (450 beyond); 0: no limit.",
    )
    error_rate: int = Field(
        default=300,
        ge=0,
        le=1_000_000,
        description="Commands a minute that one process refused one address for good, in all its "
        "sessions. Beyond, it is turned away for up to a minute (421); 0: no limit.",
    )
    memory: Size = Field(
        default=256 << 20,
        ge=64 << 20,
        description="Octets of content on their way in, all sessions of a process together "
        "(452 beyond).",
    )


class SmtpSettings(Group):
    """SMTP from machines that are known by their network (`relay smtp`). Content is not changed."""

    listen: Endpoints = Field(
        default=("127.0.0.1:2525",),
        min_length=1,
        description="Where to listen. Many processes may share.",
    )
    hostname: str = Field(
        default="", description="Name in the greeting and the trace header; empty: this machine's."
    )
    networks: Networks = Field(
        default=("127.0.0.0/8", "::1/128"),
        description="Clients that may submit messages. All others are refused (554 5.7.1), or must "
        "log in where `auth` is on.",
    )
    idempotency_field: str = Field(
        default="X-Relay-Idempotency-Key",
        pattern=r"^[A-Za-z0-9-]{0,64}$",
        description="Header field in which a client gives a message's idempotency key. It is taken "
        "out before the message is sent. Empty: none is looked for, and none taken out.",
    )
    auth: bool = Field(
        default=False,
        description="Whether clients of other networks may log in (`relay user`), inside TLS.",
    )
    clear_logins: Networks = Field(default=(), description=_CLEAR)
    announce: Extensions = Field(default=_RELAYED, description=_ANNOUNCE)
    proxies: Networks = Field(default=(), description=_PROXIES)
    xclients: Networks = Field(default=(), description=_XCLIENTS)
    tls: TlsSettings = TlsSettings()
    limits: SmtpLimits = SmtpLimits()


class SubmissionSettings(Group):
    """Submission by people and services that log in (RFC 6409), by the same role. What a message
    lacks is added: Date, Message-ID; Bcc and Return-Path are removed. Needs `smtp.tls`."""

    listen: Endpoints = Field(
        default=(), description="Where to listen with STARTTLS, such as `0.0.0.0:587`."
    )
    implicit_tls: Endpoints = Field(
        default=(),
        description="Where to listen with TLS from the first octet on, such as `0.0.0.0:465`.",
    )
    networks: Networks = Field(
        default=(), description="Clients that may submit, and as anybody, without a login."
    )
    clear_logins: Networks = Field(default=(), description=_CLEAR)
    announce: Extensions = Field(default=(*_RELAYED, "FUTURERELEASE"), description=_ANNOUNCE)
    proxies: Networks = Field(default=(), description=_PROXIES)
    xclients: Networks = Field(default=(), description=_XCLIENTS)
