"""How much TLS a session with a host needs: by DANE, by MTA-STS, by the settings, by the message.

What a domain publishes wins over the settings: DANE (RFC 7672) over MTA-STS (RFC 8461) over the
policy table; but a domain that the table lets go with less than TLS that is verified is an
exception which the operator made, and is taken at its word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from relay.policy.mta_sts import StsPolicy
from relay.policy.names import is_name, normal
from relay.policy.needs import Need


class TlsMode(StrEnum):
    """How much TLS a connection needs (Postfix's smtp_tls_security_level)."""

    NONE = "none"
    #: Where offered, with any certificate; in the clear where it fails ("may").
    OPPORTUNISTIC = "opportunistic"
    #: Always, with any certificate.
    ENCRYPTED = "encrypted"
    #: Always, with a certificate for the host's name that the trust store vouches for.
    VERIFIED = "verified"
    #: Always, with a certificate that the host's TLSA records name.
    DANE = "dane"


class Tlsa(Struct, frozen=True, order=True):
    """A TLSA record (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def usable(self) -> bool:
        """Whether it says something about an SMTP server (RFC 7672 section 3.1)."""
        length = {1: 32, 2: 64}.get(self.matching, len(self.data))
        return (
            self.usage in (2, 3)
            and self.selector in (0, 1)
            and self.matching in (0, 1, 2)
            and len(self.data) == length > 0
        )


class Requirement(Struct, frozen=True):
    """What a session with one host needs before a message may go over it."""

    mode: TlsMode
    #: What asks for it: settings, mta-sts, dane or message.
    by: str = "settings"
    #: Names one of which the certificate must have, `.example.com` for any below it; none: the
    #: host's own.
    names: tuple[str, ...] = ()
    tlsa: tuple[Tlsa, ...] = ()
    #: The host must announce REQUIRETLS (RFC 8689).
    requiretls: bool = False


class TlsPolicy(Struct, frozen=True):
    """What the settings want for a domain."""

    mode: TlsMode
    names: tuple[str, ...] = ()

    @property
    def lax(self) -> bool:
        """It lets mail go without TLS."""
        return self.mode in (TlsMode.NONE, TlsMode.OPPORTUNISTIC)


#: The words of the settings, and Postfix's for the same.
_WORDS = {
    "none": TlsMode.NONE,
    "opportunistic": TlsMode.OPPORTUNISTIC,
    "may": TlsMode.OPPORTUNISTIC,
    "required": TlsMode.ENCRYPTED,
    "encrypt": TlsMode.ENCRYPTED,
    "verified": TlsMode.VERIFIED,
    "verify": TlsMode.VERIFIED,
    "secure": TlsMode.VERIFIED,
}
LEVELS = ("none", "opportunistic", "required", "verified", "secure")


def policy_of(text: str, domain: str = "") -> TlsPolicy:
    """The policy that `required`, `secure` or `verified match=mx.example.net:.example.org` names.

    With `secure` the certificate must have the name of `domain` or one below it, so that the DNS
    need not be trusted. Raises ValueError for anything else.
    """
    word, _, rest = text.strip().partition(" ")
    mode = _WORDS.get(word.lower())
    if mode is None:
        raise ValueError(f"is no level of TLS: write one of {', '.join(LEVELS)}")
    names: tuple[str, ...] = ()
    if rest.strip():
        key, _, value = rest.strip().partition("=")
        names = tuple(normal(name) for name in value.split(":"))
        if key != "match" or not all(is_name(one.removeprefix(".")) for one in names):
            raise ValueError("match= must be followed by names: match=mx.example.net:.example.org")
        if mode is not TlsMode.VERIFIED:
            raise ValueError("match= goes with verified or secure alone")
    elif word.lower() == "secure" and domain:
        names = (domain, f".{domain}")
    return TlsPolicy(mode, names)


class TlsPolicies:
    """The policy table: domain or `*.example.com` -> level; a domain's own entry wins."""

    def __init__(self, default: str, table: Mapping[str, str]) -> None:
        self._default = default
        self._table = {normal(domain): text for domain, text in table.items()}
        self.default = policy_of(default)

    def find(self, domain: str) -> TlsPolicy | None:
        """What the table itself says of the domain; None where it says nothing."""
        if not self._table:
            return None
        text = self._table.get(domain)
        above = domain
        while text is None and above:
            above = above.partition(".")[2]
            text = self._table.get(f"*.{above}") if above else self._table.get("*")
        return None if text is None else policy_of(text, domain)

    def usual(self, domain: str) -> TlsPolicy:
        """The default, for a domain of which the table says nothing."""
        return policy_of(self._default, domain)


class Published(Struct, frozen=True):
    """What a domain and the DNS say about TLS with its hosts."""

    #: The MX records, or their lack, are signed and were validated.
    signed: bool = False
    sts: StsPolicy | None = None


NOTHING = Published()


class HostRecords(Struct, frozen=True):
    """What the DNS says of TLS with one host, all of it signed: TLSA records, or why there may be
    some that could not be had."""

    tlsa: tuple[Tlsa, ...] = ()
    failure: str = ""


def of_host(
    host: str,
    need: Need,
    policy: TlsPolicy,
    published: Published,
    records: HostRecords | None,
) -> Requirement | str:
    """What a session with a domain's host needs, or why the host may not be used.

    `published` and `records` are nothing where the operator made an exception of the domain.
    """
    if need is Need.OPTIONAL:
        lax = TlsMode.NONE if policy.mode is TlsMode.NONE else TlsMode.OPPORTUNISTIC
        return Requirement(lax, "message")
    found = _published(host, published, records) or Requirement(policy.mode, names=policy.names)
    if isinstance(found, str):
        return found
    if need is Need.RETURNED:
        return Requirement(TlsMode.ENCRYPTED, "message") if _is_lax(found) else found
    return _strict(host, found, published) if need is Need.REQUIRED else found


def _published(
    host: str, published: Published, records: HostRecords | None
) -> Requirement | str | None:
    if records is not None and records.failure:
        return f"the TLSA records of {host} could not be looked up: {records.failure}"
    if records is not None and records.tlsa:
        usable = tuple(sorted(record for record in records.tlsa if record.usable))
        if usable:
            return Requirement(TlsMode.DANE, "dane", tlsa=usable)
        # Nothing can be verified by them, but the host has TLS (RFC 7672 section 2.2).
        if not _enforced(published):
            return Requirement(TlsMode.ENCRYPTED, "dane")
    if not _enforced(published):
        return None
    assert published.sts is not None  # noqa: S101 - an enforced policy is there
    if not published.sts.covers(host):
        return f"{host} is not among the hosts of its MTA-STS policy"
    return Requirement(TlsMode.VERIFIED, "mta-sts")


def _enforced(published: Published) -> bool:
    return published.sts is not None and published.sts.mode == "enforce"


def _is_lax(found: Requirement) -> bool:
    return found.mode in (TlsMode.NONE, TlsMode.OPPORTUNISTIC)


def _strict(host: str, found: Requirement, published: Published) -> Requirement | str:
    """The same for REQUIRETLS: always verified, and the host promises it in turn (RFC 8689)."""
    if found.mode is TlsMode.DANE or found.names or found.by == "mta-sts":
        return Requirement(found.mode, found.by, found.names, found.tlsa, requiretls=True)
    sts = published.sts
    if not published.signed and sts is not None and not sts.covers(host):
        return f"{host} is not among the hosts of its MTA-STS policy"
    return Requirement(TlsMode.VERIFIED, "message", requiretls=True)


def is_authentic(policy: TlsPolicy, published: Published) -> bool:
    """Whether it is sure which hosts are the domain's: by DNSSEC, by MTA-STS in force or in test,
    or by the names that the settings give (RFC 8689 section 4.2.1, step 2)."""
    sts = published.sts
    return bool(published.signed or policy.names or (sts is not None and sts.mode != "none"))


def is_enough(needed: Requirement) -> bool:
    """Whether a session that has this was authenticated."""
    return needed.mode in (TlsMode.VERIFIED, TlsMode.DANE)


def has_name(certified: str, wanted: str) -> bool:
    """Whether a name in a certificate is the wanted one: exactly, or `.example.com` for any below
    it; `*.` in the certificate stands for one label (RFC 6125 section 6.4.3)."""
    name = normal(certified)
    if wanted.startswith("."):
        return name.removeprefix("*.").endswith(wanted) or (
            name.startswith("*.") and name[1:] == wanted
        )
    if name.startswith("*."):
        return wanted.partition(".")[2] == name[2:] and "." in name[2:]
    return name == wanted


def described(needs: Requirement) -> str:
    """What a session needs, in few words."""
    text = "required" if needs.mode is TlsMode.ENCRYPTED else needs.mode.value
    if needs.names:
        text += f" for {' or '.join(needs.names)}"
    if needs.by not in ("settings", needs.mode.value):
        text += f", by {needs.by}"
    return f"{text}, with REQUIRETLS" if needs.requiretls else text


def key_of(hosts: Iterable[tuple[str, Requirement | None]]) -> str:
    """What tells egress paths to one site apart by what sessions need; "": nothing special."""
    special = sorted({(host, repr(need)) for host, need in hosts if need is not None})
    return hashlib.sha256(repr(special).encode()).hexdigest()[:12] if special else ""
