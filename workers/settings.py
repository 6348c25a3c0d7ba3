"""Relay's settings as Celery's: the one place in which the app reads them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from relay.config import load_settings
from relay.store.address import Address

#: Seconds between two pumps, at most; and how many pumps there are in a lease, at least. Where
#: nobody looks at the leases for a third of one, none is reclaimed (grace).
_PUMP = 1.0
_PUMPS_IN_A_LEASE = 6


def celery_settings() -> dict[str, Any]:
    """What Celery must know of Relay's settings. Raises ConfigError."""
    settings = load_settings()
    return {
        "broker_url": kombu_url(settings.broker.url),
        "worker_concurrency": settings.worker.concurrency,
        "relay_pump_interval": min(_PUMP, settings.lease.seconds / _PUMPS_IN_A_LEASE),
        "relay_grace": settings.worker.grace,
        "relay_watchdog_patience": settings.worker.watchdog,
    }


def kombu_url(url: str) -> str:
    """`unix:///path?db=1` as kombu's `redis+socket:`; any other URL as it is."""
    if urlsplit(url).scheme != "unix":
        return url
    address = Address.parse(url)
    login = f"{quote(address.username)}:{quote(address.password)}@" if address.password else ""
    return f"redis+socket://{login}{address.path}?virtual_host={address.db}"
