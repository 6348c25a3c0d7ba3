"""Settings of the HTTP API: where it listens, who may ask without a token, and its limits."""

from __future__ import annotations

from pydantic import Field

from relay.config.reception import TlsSettings
from relay.config.values import Duration, Endpoints, Group, Networks, Size


class HttpLimits(Group):
    """What one client may ask for. Message size and recipients are those of `smtp.limits`."""

    body: Size = Field(
        default=72 << 20,
        ge=64 << 10,
        le=1 << 30,
        description="Octets of a request's body, unpacked (413 beyond).",
    )
    batch: int = Field(
        default=1000, ge=1, le=10_000, description="Messages of one batch (422 beyond)."
    )
    body_time: Duration = Field(
        default=60.0, ge=1, le=3600, description="Time for a request to come in (408 beyond)."
    )
    requests: int = Field(
        default=500,
        ge=1,
        le=60_000,
        description="Requests of one process at once (503 with Retry-After beyond).",
    )
    connections: int = Field(
        default=1000, ge=1, le=60_000, description="Connections of one process (closed beyond)."
    )
    memory: Size = Field(
        default=256 << 20,
        ge=1 << 20,
        description="Octets of bodies on their way in, all requests of a process together "
        "(503 with Retry-After beyond).",
    )
    streams: int = Field(
        default=50, ge=1, le=10_000, description="Streams of events of one process (429 beyond)."
    )


class HttpSettings(Group):
    """The HTTP API (`relay http`)."""

    listen: Endpoints = Field(
        default=("127.0.0.1:8025",),
        min_length=1,
        description="Where to listen. Many processes may share.",
    )
    networks: Networks = Field(
        default=(),
        description="Clients that may submit and look without a token, as `tenant`. Everybody "
        "else needs one. In the sandbox it is this machine.",
    )
    tenant: str = Field(
        default="",
        max_length=64,
        pattern=r"[A-Za-z0-9_.:@-]*",
        description="Whose messages those of `networks` are; they see no others.",
    )
    proxies: Networks = Field(
        default=(),
        description="Proxies in front, whose X-Forwarded-For tells the client's address. From "
        "anywhere else a request with such a field never counts as one of `networks`.",
    )
    tls: TlsSettings = TlsSettings()
    limits: HttpLimits = HttpLimits()
