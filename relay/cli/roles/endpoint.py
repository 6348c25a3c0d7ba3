"""A role's endpoint for machines that watch it, listening for as long as the role works."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.config import Settings
from relay.config.values import split_endpoint
from relay.ingress.health import HealthServer, Reasons


@asynccontextmanager
async def endpoint(settings: Settings, role: str, ready: Reasons) -> AsyncIterator[None]:
    """Serve /metrics and /health where `metrics.listen` says, unless it is switched off."""
    if not settings.metrics.enabled:
        yield
        return
    server = HealthServer(role, ready=ready)
    host, port = split_endpoint(settings.metrics.listen)
    await server.start(host, port, setting="metrics.listen")
    try:
        yield
    finally:
        await server.close()
