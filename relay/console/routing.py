"""Where mail goes and what limits it, by the settings: for workers and whoever explains them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from relay.config import Settings
from relay.delivery.route import RouteOptions, Router
from relay.delivery.securing import SecurityOptions
from relay.errors import ConfigError
from relay.lookup.mta_sts import MtaSts, Shelf
from relay.lookup.policy_file import PolicyFiles
from relay.lookup.resolver import Resolver, ResolverOptions, nameservers
from relay.policy.shaping import Limits, rate_of
from relay.policy.tls import TlsMode
from relay.smtp.tls import context_of

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
        security=SecurityOptions(
            default=delivery.tls,
            table=delivery.security.policies,
            dane=delivery.security.dane,
        ),
    )


def authorities(settings: Settings) -> str:
    """The file of those who vouch for hosts, "" for the system's.

    They are read here, once, as that takes long. Raises ConfigError where they cannot be.
    """
    file = settings.delivery.security.authorities
    try:
        for named in (False, True):
            context_of(TlsMode.VERIFIED, file, named=named)
    except OSError as error:
        text = f"{file} has no certificates that can be read ({error}): name a file in PEM"
        raise ConfigError([f"delivery.security.authorities: {text}"]) from None
    return file


def router(settings: Settings, resolver: Resolver, shelf: Shelf) -> Router:
    """What finds routes, and the MTA-STS policies that `shelf` keeps for all processes.

    Raises ConfigError.
    """
    security, routes = settings.delivery.security, route_options(settings)
    if not security.mta_sts:
        return Router(resolver, routes)
    files = PolicyFiles(
        resolver, lambda address: found.refusal(address), authorities=authorities(settings)
    )
    found = Router(resolver, routes, sts=MtaSts(resolver, files.fetch, shelf))
    return found


def resolver_options(settings: Settings) -> ResolverOptions:
    """How the DNS is asked. Raises ConfigError where DANE is wanted of nameservers that are not
    trusted."""
    delivery = settings.delivery
    options = ResolverOptions(
        nameservers=tuple(delivery.nameservers),
        lifetime=delivery.timeouts.dns,
        timeout=min(3.0, delivery.timeouts.dns),
        validating=delivery.security.dane,
    )
    if options.validating:
        _check_trusted(options, delivery.security.validating)
    return options


def _check_trusted(options: ResolverOptions, trusted: Sequence[str]) -> None:
    """Raises ConfigError where a nameserver's word about DNSSEC could be anybody's."""
    problems = [
        f"delivery.security.dane: the nameserver {server.host} is not on this machine: name one "
        "that is in delivery.nameservers, or add this one to delivery.security.validating, if it "
        "validates and nobody can change what it says on the way"
        for server in nameservers(options)
        if not ip_address(server.host).is_loopback and server.host not in trusted
    ]
    if problems:
        raise ConfigError(problems)
