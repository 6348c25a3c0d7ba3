"""The doors of reception from the settings: every listener, and what it stands for."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import ip_network

from msgspec import structs

from relay.config import Settings
from relay.config.values import split_endpoint
from relay.errors import ConfigError
from relay.ingress.access import Network
from relay.ingress.door import Door
from relay.ingress.listener import Listen
from relay.mail.extensions import Extension
from relay.mail.transaction import ReceiverOptions
from relay.policy.tls import policy_of


def receiver_options(settings: Settings) -> ReceiverOptions:
    """What is the same at all doors."""
    limits = settings.smtp.limits
    return ReceiverOptions(
        hostname=settings.smtp.hostname or socket.getfqdn(),
        message_size=limits.message_size,
        header_size=limits.header_size,
        recipients=limits.recipients,
        errors=limits.errors,
        logins=limits.logins,
        commands=limits.commands,
        hops=limits.hops,
        longest_hold=int(limits.hold),
        longest_age=int(settings.retry.max_age),
    )


def listeners(settings: Settings) -> list[Listen]:
    """Where to listen, shared with the other processes of this role.

    Raises ConfigError where a door needs the certificate that there is not.
    """
    smtp, submission = settings.smtp, settings.submission
    if not smtp.tls.certificate and (problems := _without_certificate(settings)):
        raise ConfigError(problems)
    relayed = Door(
        receiver=_options(settings, smtp.announce, auth=smtp.auth),
        networks=_networks(smtp.networks),
        clear_logins=_networks(smtp.clear_logins),
        proxies=_networks(smtp.proxies),
        xclients=_networks(smtp.xclients),
    )
    submitted = Door(
        receiver=_options(settings, submission.announce, auth=True, fixes=True),
        networks=_networks(submission.networks),
        clear_logins=_networks(submission.clear_logins),
        proxies=_networks(submission.proxies),
        xclients=_networks(submission.xclients),
    )
    secured = structs.replace(submitted, implicit_tls=True)
    return [
        *_at(smtp.listen, "smtp.listen", relayed),
        *_at(submission.listen, "submission.listen", submitted),
        *_at(submission.implicit_tls, "submission.implicit_tls", secured),
    ]


def _without_certificate(settings: Settings) -> list[str]:
    submission = settings.submission
    needs = []
    if submission.implicit_tls:
        needs.append("submission.implicit_tls")
    if submission.listen and not submission.clear_logins:
        needs.append("submission.listen")
    if settings.smtp.auth and not settings.smtp.clear_logins:
        needs.append("smtp.auth")
    return [
        f"{key}: nobody could log in without TLS: set smtp.tls.certificate and smtp.tls.key"
        for key in needs
    ]


def _options(
    settings: Settings, announced: Iterable[str], *, auth: bool, fixes: bool = False
) -> ReceiverOptions:
    extensions = frozenset(map(Extension, announced))
    if Extension.CHUNKING not in extensions:
        # BINARYMIME content comes by BDAT alone (RFC 3030 section 3).
        extensions -= {Extension.BINARYMIME}
    if not _verifies(settings):
        # Nothing could be sent that needs it (RFC 8689 section 4.2.1).
        extensions -= {Extension.REQUIRETLS}
    return structs.replace(
        receiver_options(settings), extensions=extensions, auth=auth, fixes=fixes
    )


def _verifies(settings: Settings) -> bool:
    """Whether it can be known which hosts are a domain's, and whether they are who they say."""
    security = settings.delivery.security
    levels = (settings.delivery.tls, *security.policies.values())
    named = any(policy_of(level, "example.com").names for level in levels)
    return not settings.sandbox.enabled and (security.mta_sts or security.dane or named)


def _networks(networks: Iterable[str]) -> tuple[Network, ...]:
    return tuple(map(ip_network, networks))


def _at(endpoints: Iterable[str], setting: str, door: Door) -> list[Listen]:
    places = map(split_endpoint, endpoints)
    return [Listen(host, port, setting, shared=True, door=door) for host, port in places]
