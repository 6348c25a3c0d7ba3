"""Settings of identity: how logins are checked, and how many may fail."""

from __future__ import annotations

from pydantic import Field

from relay.config.values import Duration, Group


class IdentitySettings(Group):
    """Logins and API tokens (`relay user`, `relay token`), of every way in."""

    cache: Duration = Field(
        default=5.0,
        ge=0,
        le=300,
        description="How long a process uses a credential as it read it: a change, such as "
        "disabling it, holds everywhere after this time.",
    )
    passed: Duration = Field(
        default=300.0,
        ge=0,
        le=3600,
        description="How long a login that passed is not checked again by the same process.",
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Threads of a process that check passwords: 20 ms and 19 MiB each.",
    )
    waiting: int = Field(
        default=50,
        ge=0,
        le=10_000,
        description="Logins of a process that may wait for a thread (454 beyond).",
    )
    failures_per_client: int = Field(
        default=20,
        ge=1,
        le=900,
        description="Failed logins from one address (one /64 of IPv6) before it must wait (454).",
    )
    failures_per_account: int = Field(
        default=10,
        ge=1,
        le=900,
        description="Failed logins to one account before clients that are new to it must wait "
        "(454). Those that logged in to it within 30 days need not.",
    )
    failures_window: Duration = Field(
        default=900.0, ge=10, le=86400, description="How long a failed login counts."
    )
