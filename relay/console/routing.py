"""Where mail goes and what limits it, by the settings: for workers and whoever explains them."""

from __future__ import annotations

from relay.config import Settings
from relay.delivery.route import RouteOptions
from relay.lookup.resolver import ResolverOptions
from relay.policy.shaping import Limits, rate_of

#: A dead site rests for a quarter of an hour at most: mail for it may be urgent.
_LONGEST_PAUSE = 900.0


def limits(settings: Settings) -> Limits:
    """What holds for a site."""
    concurrency, retry = settings.delivery.concurrency, settings.retry
    rates = settings.delivery.rates
    return Limits(
        connections=concurrency.limit,
        initial=concurrency.initial,
        delivery_rate=rate_of(rates.deliveries) if rates.deliveries else None,
        connection_rate=rate_of(rates.connections) if rates.connections else None,
        first_pause=retry.first,
        longest_pause=max(retry.first, min(retry.longest, _LONGEST_PAUSE)),
    )


def route_options(settings: Settings) -> RouteOptions:
    """Where mail goes."""
    delivery = settings.delivery
    return RouteOptions(
        routes=settings.routes,
        port=delivery.port,
        most_addresses=delivery.addresses,
        allowed=settings.private_targets,
    )


def resolver_options(settings: Settings) -> ResolverOptions:
    """How the DNS is asked."""
    delivery = settings.delivery
    return ResolverOptions(
        nameservers=tuple(delivery.nameservers),
        lifetime=delivery.timeouts.dns,
        timeout=min(3.0, delivery.timeouts.dns),
    )
