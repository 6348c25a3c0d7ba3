"""Settings of operation: DSNs, workers, metrics, logs, and the sandbox of `relay up --sandbox`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from relay.config.values import Duration, Endpoint, Group, Password, Size, Url


class DsnSettings(Group):
    """The messages that tell a sender what became of the recipients (RFC 3464)."""

    enabled: bool = Field(default=True, description="Whether DSNs are sent.")
    reporting_host: str = Field(
        default="", description="Name in Reporting-MTA; empty: that of `smtp.hostname`."
    )
    sender: str = Field(
        default="",
        description="Address in the From field of a DSN; empty: MAILER-DAEMON at the reporting "
        "host. The envelope's sender is always empty.",
    )
    postmaster: str = Field(
        default="", description="Address that a DSN asks its reader to write to; empty: none."
    )


class WorkerSettings(Group):
    """Workers (`relay worker`): one process per core is right."""

    processes: int = Field(
        default=1, ge=1, le=256, description="Worker processes that `relay up` starts."
    )
    concurrency: int = Field(
        default=100, ge=1, le=10_000, description="Celery tasks at once in one process."
    )
    watchdog: Duration = Field(
        default=60.0,
        ge=0,
        description="A worker with work waiting that makes no progress for this long ends itself, "
        "to be started again; 0 leaves it be.",
    )
    grace: Duration = Field(
        default=120.0, ge=1, le=3600, description="Time a worker has, when told to stop, to finish."
    )


class ExporterSettings(Group):
    """The exporter (`relay exporter`): metrics of the store, for the whole fleet."""

    listen: Endpoint = Field(default="127.0.0.1:9925", description="Where /metrics is.")


class MetricsSettings(Group):
    """Metrics and health (/metrics, /health/live, /health/ready) of every other role."""

    enabled: bool = Field(default=True, description="Whether the other roles have an endpoint.")
    listen: Endpoint = Field(
        default="127.0.0.1:9926",
        description="Where a role's endpoint is. `relay up` gives this port to its first role "
        "and the next ones to the others.",
    )
    names: int = Field(
        default=20,
        ge=0,
        le=200,
        description="How many sites, and tenants, have series of their own: those that carry most "
        "in the whole fleet. All others share `other`.",
    )


class LogSettings(Group):
    """The log, on standard error."""

    format: Literal["json", "console"] = Field(
        default="json", description="json: one object a line. console: for people."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severity that is written."
    )
    addresses: Literal["plain", "hashed"] = Field(
        default="plain",
        description="How senders and recipients are written: hashed has a hash in place of what is "
        "before the @, also in what hosts said.",
    )
    key: Password = Field(
        default="",
        max_length=64,
        description="The key of these hashes, 16 characters at least. Under one key an address has "
        "one hash in the logs of all processes.",
    )

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        if self.addresses == "hashed" and len(self.key) < 16:
            raise ValueError("addresses is hashed: set key to at least 16 characters of chance")
        return self

    @property
    def conceal(self) -> str:
        """The key under which addresses are concealed, "" where they are not."""
        return self.key if self.addresses == "hashed" else ""


class TracingSettings(Group):
    """Traces by OpenTelemetry, one for each message (the extra `tracing`)."""

    enabled: bool = Field(default=False, description="Whether traces are made and sent.")
    endpoint: Url = Field(
        default="http://127.0.0.1:4318/v1/traces",
        description="Where they are sent: OTLP over HTTP.",
    )
    ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="The share of messages that are traced.",
    )


class SandboxSettings(Group):
    """The catch-all that `relay up --sandbox` delivers everything to (`relay sink`)."""

    enabled: bool = Field(
        default=False,
        description="Deliver every domain to the catch-all, so that nothing leaves the machine. "
        "`relay up --sandbox` sets it; `delivery.routes` is then not used.",
    )
    listen: Endpoint = Field(default="127.0.0.1:2526", description="Where the catch-all listens.")
    keep: int = Field(default=1000, ge=1, le=100_000, description="Messages it keeps as files.")
    keep_size: Size = Field(
        default=256 << 20, ge=1 << 20, description="Octets of all files it keeps together."
    )
