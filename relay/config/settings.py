"""All settings, as one frozen value that the roles are put together from."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from relay.config.delivery import DeliverySettings, RetrySettings
from relay.config.http import HttpSettings
from relay.config.identity import IdentitySettings
from relay.config.operation import (
    DsnSettings,
    ExporterSettings,
    LogSettings,
    MetricsSettings,
    SandboxSettings,
    TracingSettings,
    WorkerSettings,
)
from relay.config.reception import SmtpSettings, SubmissionSettings
from relay.config.servers import BrokerSettings, LeaseSettings, StoreSettings


class Settings(BaseSettings):
    """Every setting of every role. `Settings()` is all defaults; `load_settings` reads the rest."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="RELAY_")

    data: str = Field(
        default="relay-data",
        min_length=1,
        description="Directory in which `relay up` keeps the store, its sockets, its logs and, in "
        "the sandbox, what was delivered.",
    )
    store: StoreSettings = StoreSettings()
    broker: BrokerSettings = BrokerSettings()
    smtp: SmtpSettings = SmtpSettings()
    submission: SubmissionSettings = SubmissionSettings()
    http: HttpSettings = HttpSettings()
    identity: IdentitySettings = IdentitySettings()
    delivery: DeliverySettings = DeliverySettings()
    retry: RetrySettings = RetrySettings()
    lease: LeaseSettings = LeaseSettings()
    dsn: DsnSettings = DsnSettings()
    worker: WorkerSettings = WorkerSettings()
    exporter: ExporterSettings = ExporterSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    sandbox: SandboxSettings = SandboxSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments alone: where settings come from is `load_settings`' business."""
        return (init_settings,)

    @property
    def routes(self) -> dict[str, str]:
        """The route table that holds: in the sandbox every domain leads to the catch-all."""
        return {"*": self.sandbox.listen} if self.sandbox.enabled else self.delivery.routes

    @property
    def open_networks(self) -> tuple[str, ...]:
        """Who may use the HTTP API without a token; in the sandbox this machine."""
        return ("127.0.0.0/8", "::1/128") if self.sandbox.enabled else self.http.networks

    @property
    def private_targets(self) -> tuple[str, ...]:
        """The private networks that may be connected to; in the sandbox loopback alone."""
        return ("127.0.0.0/8", "::1/128") if self.sandbox.enabled else self.delivery.private_targets
