"""Relay's settings as Celery's: the one place in which the app reads them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from relay.config import load_settings
from relay.store.address import Address, split_url
from relay.store.servers import Sentinels, single

#: Seconds between two pumps, at most; and how many pumps there are in a lease, at least. Where
#: nobody looks at the leases for a third of one, none is reclaimed (grace).
_PUMP = 1.0
_PUMPS_IN_A_LEASE = 6
#: Seconds that a sentinel has to answer.
_SENTINEL = 1.0
#: Of kombu's transport. One list a queue, without kombu's four for priorities (each costs a key in
#: BRPOP).
_TRANSPORT: dict[str, Any] = {
    "priority_steps": [0],
    "socket_timeout": 15,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
}


def celery_settings() -> dict[str, Any]:
    """What Celery must know of Relay's settings. Raises ConfigError."""
    settings = load_settings()
    return {
        **broker_settings(settings.broker.url),
        "worker_concurrency": settings.worker.concurrency,
        "relay_pump_interval": min(_PUMP, settings.lease.seconds / _PUMPS_IN_A_LEASE),
        "relay_grace": settings.worker.grace,
        "relay_watchdog_patience": settings.worker.watchdog,
    }


def broker_settings(url: str) -> dict[str, Any]:
    """What Celery and kombu must know to reach the broker."""
    servers = single(url)
    if not isinstance(servers, Sentinels):
        return {"broker_url": kombu_url(url), "broker_transport_options": dict(_TRANSPORT)}
    one, first = servers.primary, servers.sentinels[0]
    places = (f"{_login(one)}{_host(each)}:{each.port}/{one.db}" for each in servers.sentinels)
    asking: dict[str, Any] = {"socket_timeout": _SENTINEL, "socket_connect_timeout": _SENTINEL}
    if first.password:
        asking |= {"username": first.username or None, "password": first.password}
    if first.tls:
        asking |= {"ssl": True, **_tls(first)}
    found: dict[str, Any] = {
        "broker_url": ";".join(f"sentinel://{place}" for place in places),
        "broker_transport_options": {
            **_TRANSPORT,
            "master_name": servers.name,
            "sentinel_kwargs": asking,
        },
    }
    if one.tls:
        found["broker_use_ssl"] = _tls(one)
    return found


def kombu_url(url: str) -> str:
    """`unix:///path?db=1` as kombu's `redis+socket:`; any other URL of one server as it is."""
    if split_url(url).scheme != "unix":
        return url
    address = Address.parse(url)
    return f"redis+socket://{_login(address)}{address.path}?virtual_host={address.db}"


def _login(address: Address) -> str:
    if not address.password:
        return ""
    return f"{quote(address.username, safe='')}:{quote(address.password, safe='')}@"


def _host(address: Address) -> str:
    return f"[{address.host}]" if ":" in address.host else address.host


def _tls(address: Address) -> dict[str, Any]:
    """How redis-py is to verify a certificate."""
    found = {"ssl_cert_reqs": address.tls_verify}
    return found | {"ssl_ca_certs": address.tls_ca_file} if address.tls_ca_file else found
