"""Settings of delivery: routes, connections to other hosts, their limits, and retries."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from relay.config.values import (
    Address,
    Addresses,
    Duration,
    Group,
    Nameservers,
    Networks,
    Rate,
    Routes,
    TlsLevel,
    TlsPolicies,
)
from relay.policy.retry import RetrySchedule

_SCHEDULE = RetrySchedule()


class TimeoutSettings(Group):
    """How long each phase of a session may take (RFC 5321 section 4.5.3.2)."""

    connect: Duration = Field(default=30.0, ge=0.1, le=3600, description="The TCP connection.")
    greeting: Duration = Field(default=300.0, ge=0.1, le=3600, description="The first reply, 220.")
    ehlo: Duration = Field(default=300.0, ge=0.1, le=3600, description="The reply to EHLO or HELO.")
    starttls: Duration = Field(
        default=120.0, ge=0.1, le=3600, description="STARTTLS and the handshake."
    )
    mail: Duration = Field(default=300.0, ge=0.1, le=3600, description="The reply to MAIL.")
    rcpt: Duration = Field(default=300.0, ge=0.1, le=3600, description="The reply to a RCPT.")
    data: Duration = Field(default=120.0, ge=0.1, le=3600, description="The reply to DATA, 354.")
    block: Duration = Field(
        default=180.0, ge=0.1, le=3600, description="Writing one piece of content."
    )
    final: Duration = Field(
        default=600.0, ge=0.1, le=3600, description="The reply to the final dot."
    )
    quit: Duration = Field(default=5.0, ge=0.1, le=3600, description="The reply to QUIT.")
    dns: Duration = Field(
        default=10.0, ge=0.1, le=300, description="All tries of one DNS question."
    )


class ConcurrencySettings(Group):
    """Connections at once to one site, from the whole fleet together."""

    limit: int = Field(default=20, ge=1, le=1000, description="The most, however well it goes.")
    initial: int = Field(
        default=5, ge=1, le=1000, description="Where the window begins, at most at the limit."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if "initial" in self.model_fields_set and self.initial > self.limit:
            raise ValueError("initial must not be above limit: lower initial or raise limit")
        return self


class RateSettings(Group):
    """How fast one site gets mail, from the whole fleet together: N/period, such as 100/min."""

    deliveries: Rate = Field(
        default="",
        description="Deliveries begun, such as `100/min` or `20/30min,max_burst=1`; empty: as fast "
        "as it goes.",
    )
    connections: Rate = Field(
        default="",
        description="Connections opened, in the same form; empty: no limit of their own.",
    )


class SessionSettings(Group):
    """Open connections that are kept for the next message."""

    idle: Duration = Field(
        default=5.0,
        ge=0,
        le=300,
        description="How long an idle session is kept; 0 closes it at once.",
    )
    idle_count: int = Field(
        default=2000,
        ge=0,
        le=60_000,
        description="Idle sessions of all sites together that a process keeps: open files.",
    )
    messages: int = Field(
        default=1000, ge=1, description="Messages over one session before a new one is made."
    )
    age: Duration = Field(
        default=300.0, ge=1, description="Age at which a session is not used again."
    )


class SecuritySettings(Group):
    """TLS with hosts beyond `delivery.tls` (docs/security.md). What a domain publishes wins over
    both tables: DANE over MTA-STS. What is not safe enough waits; it is never sent all the same."""

    policies: TlsPolicies = Field(
        default={},
        description="Levels as in `delivery.tls` for single domains: `example.com`, "
        "`*.example.com` for all below it, or a smart host's name; such as `secure` or "
        "`verified match=mx.example.net:.example.org`. A domain with none or opportunistic is an "
        "exception: what it publishes does not count.",
    )
    authorities: str = Field(
        default="",
        description="File of the certificates (PEM) that vouch for hosts; empty: the system's.",
    )
    mta_sts: bool = Field(
        default=True,
        description="Whether the policies that domains publish by MTA-STS (RFC 8461) are followed. "
        "They are fetched over HTTPS, port 443, from `mta-sts.` and the domain.",
    )
    dane: bool = Field(
        default=False,
        description="Whether TLSA records of hosts are followed (DANE, RFC 7672). The nameservers "
        "must validate DNSSEC, and be on this machine or among `validating`.",
    )
    validating: Addresses = Field(
        default=(),
        description="Nameservers elsewhere that validate DNSSEC and are reached by a way on which "
        "nobody can change what they say.",
    )


class DeliverySettings(Group):
    """How messages leave."""

    ehlo_name: str = Field(default="", description="Name given in EHLO; empty: this machine's.")
    port: int = Field(default=25, ge=1, le=65535, description="Port of the hosts found by MX.")
    nameservers: Nameservers = Field(
        default=(),
        description="DNS servers to ask, each an address with or without a port; empty: those "
        "of the system (/etc/resolv.conf).",
    )
    routes: Routes = Field(
        default={},
        description="Where to deliver instead of asking for MX: domain = host:port, `*` for "
        "every other domain (a smart host). Subdomains are not included.",
    )
    private_targets: Networks = Field(
        default=(),
        description="Loopback, private and own networks that may be connected to. All others "
        "of them are refused, checked on the very address of the connection.",
    )
    source_address: Address = Field(
        default="", description="Local address to connect from; empty: the system chooses."
    )
    tls: TlsLevel = Field(
        default="opportunistic",
        description="opportunistic (Postfix: may): STARTTLS where offered, any certificate, in the "
        "clear where it fails. required (encrypt): never in the clear. verified (verify): with a "
        "certificate for the host's name. secure: for the domain's name or one below it, or for "
        "the names behind `match=`. none: never TLS.",
    )
    hosts: int = Field(
        default=5, ge=1, le=100, description="Hosts of a site that one attempt tries."
    )
    addresses: int = Field(
        default=10,
        ge=1,
        le=100,
        description="Addresses, of all its hosts together, one attempt tries.",
    )
    attempts: int = Field(
        default=2000, ge=1, le=100_000, description="Attempts at once in one worker process."
    )
    security: SecuritySettings = SecuritySettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    concurrency: ConcurrencySettings = ConcurrencySettings()
    rates: RateSettings = RateSettings()
    sessions: SessionSettings = SessionSettings()


class RetrySettings(Group):
    """When a deferred delivery is attempted again, and when it is given up."""

    first: Duration = Field(
        default=_SCHEDULE.first_ms / 1000,
        ge=1,
        le=86400,
        description="Wait after the first attempt.",
    )
    factor: float = Field(
        default=_SCHEDULE.factor,
        ge=1,
        le=10,
        description="Each wait is the one before times this.",
    )
    longest: Duration = Field(
        default=_SCHEDULE.longest_ms / 1000,
        ge=1,
        le=432000,
        description="No wait is longer, but for jitter.",
    )
    max_age: Duration = Field(
        default=_SCHEDULE.max_age_ms / 1000,
        ge=60,
        le=2592000,
        description="Age at which what is not delivered expires: the sender is told with 4.4.7.",
    )
    jitter: float = Field(
        default=_SCHEDULE.spread,
        ge=0,
        le=1,
        description="Share of a wait that is added by chance, at most.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first > self.longest:
            raise ValueError("first must not be above longest: lower first or raise longest")
        return self
