"""The options of everything that a worker is put together from, read off the settings."""

from __future__ import annotations

import socket
from collections.abc import Callable

from relay.config import Settings
from relay.console import routing
from relay.delivery.dispatcher import DispatchOptions
from relay.delivery.table import TableOptions
from relay.feedback.report import DsnOptions
from relay.policy.retry import RetrySchedule
from relay.policy.tls import policy_of
from relay.smtp.options import ConnectOptions, SessionLimits, Timeouts
from relay.store.control import ControlOptions
from relay.store.leasing import LeaseOptions
from relay.store.paths import PathOptions
from relay.store.timing import TimingOptions


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def lease_options(settings: Settings) -> LeaseOptions:
    """Leases."""
    return LeaseOptions(
        lease_ms=_ms(settings.lease.seconds),
        deadline_ms=_ms(settings.lease.deadline),
        longest_ms=_ms(settings.retry.max_age),
    )


def timing_options(settings: Settings) -> TimingOptions:
    """What the pump does."""
    return TimingOptions(
        lease_ms=_ms(settings.lease.seconds),
        deadline_ms=_ms(settings.lease.deadline),
        longest_ms=_ms(settings.retry.max_age),
    )


def control_options(settings: Settings) -> ControlOptions:
    """What operators ask of the queue."""
    return ControlOptions(
        deadline_ms=_ms(settings.lease.deadline), longest_ms=_ms(settings.retry.max_age)
    )


def dsn_options(settings: Settings) -> DsnOptions:
    """How DSNs are made."""
    host = settings.dsn.reporting_host or settings.smtp.hostname or socket.getfqdn()
    return DsnOptions(
        host=host,
        enabled=settings.dsn.enabled,
        mailer=settings.dsn.sender,
        postmaster=settings.dsn.postmaster,
    )


def path_options(settings: Settings) -> PathOptions:
    """Connections held by this process."""
    return PathOptions(lease_ms=_ms(settings.lease.seconds))


def retry_schedule(settings: Settings) -> RetrySchedule:
    """When a deferred delivery is tried again."""
    retry = settings.retry
    return RetrySchedule(
        first_ms=_ms(retry.first),
        factor=retry.factor,
        longest_ms=_ms(retry.longest),
        max_age_ms=_ms(retry.max_age),
        spread=retry.jitter,
    )


def dispatch_options(settings: Settings, holder: str) -> DispatchOptions:
    """What the process delivers with."""
    return DispatchOptions(
        holder=holder,
        lease_s=settings.lease.seconds,
        table=TableOptions(attempts=settings.delivery.attempts),
        schedule=retry_schedule(settings),
        idle_sessions=settings.delivery.sessions.idle_count,
    )


def connect_options(settings: Settings, permitted: Callable[[str], bool]) -> ConnectOptions:
    """How sessions are opened and kept."""
    delivery = settings.delivery
    times, sessions = delivery.timeouts, delivery.sessions
    return ConnectOptions(
        hello=delivery.ehlo_name or settings.smtp.hostname or socket.getfqdn(),
        permitted=permitted,
        source=delivery.source_address,
        tls=policy_of(delivery.tls).mode,
        authorities=routing.authorities(settings),
        timeouts=Timeouts(
            connect=times.connect,
            greeting=times.greeting,
            ehlo=times.ehlo,
            starttls=times.starttls,
            mail=times.mail,
            rcpt=times.rcpt,
            data=times.data,
            block=times.block,
            dot=times.final,
            quit=times.quit,
        ),
        limits=SessionLimits(messages=sessions.messages, age=sessions.age, idle=sessions.idle),
    )
