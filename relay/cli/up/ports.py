"""The ports that `relay up` needs: checked before the start, to tell a fault well."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from relay.config import Settings
from relay.config.environment import variable
from relay.config.values import split_endpoint


def metrics_endpoint(settings: Settings, number: int) -> str:
    """Where the role of that number, counted from 0, has its metrics."""
    host, port = split_endpoint(settings.metrics.listen)
    return f"[{host}]:{port + number}" if ":" in host else f"{host}:{port + number}"


def needed(settings: Settings, roles: int) -> list[tuple[str, str]]:
    """Each setting and the host:port it asks for; `roles` have an endpoint for their metrics."""
    wanted = [("smtp.listen", endpoint) for endpoint in settings.smtp.listen]
    wanted += [("http.listen", endpoint) for endpoint in settings.http.listen]
    wanted.append(("exporter.listen", settings.exporter.listen))
    if settings.metrics.enabled:
        wanted += [
            ("metrics.listen", metrics_endpoint(settings, number)) for number in range(roles)
        ]
    if settings.sandbox.enabled:
        wanted.append(("sandbox.listen", settings.sandbox.listen))
    return wanted


def problems(wanted: Iterable[tuple[str, str]]) -> list[str]:
    """One line for each host:port that cannot be had: the setting, the fault, the remedy."""
    found = []
    seen: dict[str, str] = {}
    for key, endpoint in wanted:
        if endpoint in seen:
            found.append(f"{key}: {endpoint} is also that of {seen[endpoint]}: change one of them")
        elif fault := _fault(endpoint):
            name = variable(key.split("."))
            found.append(f"{key}: {endpoint} {fault}; choose another by {key} or {name}")
        seen[endpoint] = key
    return found


def _fault(endpoint: str) -> str:
    """Why the port cannot be bound, "" where it can."""
    host, port = split_endpoint(endpoint)
    try:
        [family, kind, protocol, _, address] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return _told(error)
    return ""


def _told(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is taken by another process"
    if error.errno == errno.EACCES:
        return "needs rights that this user does not have"
    return f"cannot be had: {error.strerror or error}"
