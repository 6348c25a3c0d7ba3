"""Credentials: who may submit and ask, as they are stored, and what each of them may do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Network, ip_address, ip_network
from typing import Literal

from msgspec import Struct

from relay.mail.address import BadAddress, canonical_domain, parse_mailbox

Kind = Literal["user", "token"]
#: send: submit messages; read: see the tenant's messages; admin: change credentials.
Scope = Literal["send", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("send", "read", "admin")

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,126}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Secret(Struct, frozen=True, array_like=True, omit_defaults=True):
    """The hash of a password or token. More than one stand while a rotation overlaps."""

    hash: str
    #: Unix time in ms after which it is not taken any more; 0: for ever.
    until_ms: int = 0


class Quotas(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What may be submitted by the whole fleet together, by the store's clock; 0: no limit.

    A minute and a day (of UTC) begin for all at the same time.
    """

    messages_minute: int = 0
    messages_day: int = 0
    recipients_minute: int = 0
    recipients_day: int = 0

    @property
    def unlimited(self) -> bool:
        """Nothing needs to be counted."""
        return self == UNLIMITED


UNLIMITED = Quotas()


class Credential(Struct, frozen=True, array_like=True, omit_defaults=True):
    """An SMTP login or an API token. Times are Unix times in milliseconds."""

    version: int
    kind: Kind
    name: str
    tenant: str
    secrets: tuple[Secret, ...]
    scopes: tuple[Scope, ...] = ()
    #: What it may send as: addresses, domains (`example.com`), domains and all below them
    #: (`.example.com`), or `*` for any. None: nothing.
    senders: tuple[str, ...] = ()
    #: Networks it may be used from; none: any.
    networks: tuple[str, ...] = ()
    quotas: Quotas = UNLIMITED
    #: 0: does not expire.
    expires_ms: int = 0
    disabled: bool = False
    created_ms: int = 0
    changed_ms: int = 0
    note: str = ""


def canonical_name(text: str) -> str | None:
    """The name of a credential in lower case, None where it cannot be one."""
    name = text.lower() if text.isascii() else ""
    return name if _NAME.fullmatch(name) else None


def is_tenant(text: str) -> bool:
    """Whether it can name a tenant, in lanes and in keys of the store; `""` is the default one."""
    return not text or _TENANT.fullmatch(text) is not None


def canonical_sender(text: str) -> str | BadAddress:
    """An item of `senders` in the form that `may_send_as` compares."""
    if text == "*":
        return text
    if "@" in text:
        return parse_mailbox(text, smtputf8=True)
    below = "." if text.startswith(".") else ""
    domain = canonical_domain(text.removeprefix("*.").removeprefix("."))
    if isinstance(domain, BadAddress):
        return domain
    return f".{domain}" if below or text.startswith("*.") else domain


def may_send_as(senders: Iterable[str], address: str) -> bool:
    """Whether an address in canonical form may be MAIL FROM or From.

    The null sender belongs to nobody: a DSN may be passed on, its From is looked at all the same.
    """
    if not address:
        return True
    domain = address[address.rindex("@") + 1 :]
    return any(_covers(sender, address, domain) for sender in senders)


def _covers(sender: str, address: str, domain: str) -> bool:
    if sender == "*" or sender == domain:
        return True
    if sender.startswith("."):
        return domain == sender[1:] or domain.endswith(sender)
    local, at, own = sender.rpartition("@")
    # Local parts are the domain's own affair (RFC 5321 section 2.4), but hardly any domain has two
    # that differ in case alone, and a sender is refused for it at once.
    return bool(at) and own == domain and local.lower() == address[: -len(domain) - 1].lower()


def covers(own: Iterable[str], sender: str) -> bool:
    """Whether who may send as `own` may send as all that another sender stands for.

    All in the form of `canonical_sender`.
    """
    if sender == "*":
        return "*" in own
    if sender.startswith("."):
        # All below it, and itself.
        return any(one == "*" or (one[:1] == "." and sender.endswith(one)) for one in own)
    domain = sender[sender.rfind("@") + 1 :]
    return any(_covers(one, sender, domain) for one in own)


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether an IP address lies in one of the networks; anything does where there are none."""
    listed = [ip_network(network) for network in networks]
    if not listed:
        return True
    if not address:
        return False
    client = ip_address(address)
    return any(client.version == network.version and client in network for network in listed)


def counts_as(address: str) -> str:
    """Who counts as one client: an IPv4 address, or a /64 of IPv6, which one may use up at will."""
    return str(IPv6Network((address, 64), strict=False)) if ":" in address else address
