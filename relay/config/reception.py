"""Settings of reception: where messages come in over SMTP, from whom, and within which limits."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from relay.config.values import Duration, Endpoints, Group, Networks, Size


class TlsSettings(Group):
    """STARTTLS for clients; without a certificate it is not offered."""

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
    recipients: int = Field(
        default=1000, ge=100, le=50_000, description="Recipients of one message (452 beyond)."
    )
    errors: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Refused commands in a session before it is ended (421).",
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
    """SMTP submission (`relay smtp`)."""

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
        description="Clients that may submit messages. All others are refused (550 5.7.1).",
    )
    idempotency_field: str = Field(
        default="X-Relay-Idempotency-Key",
        pattern=r"^[A-Za-z0-9-]{0,64}$",
        description="Header field in which a client gives a message's idempotency key. It is taken "
        "out before the message is sent. Empty: none is looked for, and none taken out.",
    )
    tls: TlsSettings = TlsSettings()
    limits: SmtpLimits = SmtpLimits()
