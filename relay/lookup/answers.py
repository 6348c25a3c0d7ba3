"""What the DNS can say about where mail goes; an answer that is bad news is a value as well.

`expires` is a time of the resolver's clock (monotonic seconds) until which the answer holds.
"""

from __future__ import annotations

from msgspec import Struct

from relay.policy.tls import Tlsa


class Hosts(Struct, frozen=True):
    """The hosts that take a domain's mail: (preference, name), best first, then by name.

    `implicit` where the domain has no MX but addresses of its own (RFC 5321 section 5.1).
    """

    mx: tuple[tuple[int, str], ...]
    implicit: bool
    expires: float
    #: That these are the hosts is signed, and was validated (DNSSEC).
    signed: bool = False


class Addresses(Struct, frozen=True):
    """A host's addresses, those of the family to try first in front."""

    addresses: tuple[str, ...]
    expires: float
    signed: bool = False


class Texts(Struct, frozen=True):
    """The TXT records of a name that are of MTA-STS; none where there are no such records."""

    texts: tuple[str, ...]
    expires: float


class TlsaRecords(Struct, frozen=True):
    """The TLSA records of a name; none where there are none that are signed."""

    records: tuple[Tlsa, ...]
    expires: float


class NullMx(Struct, frozen=True):
    """The domain says that it takes no mail (RFC 7505): permanent."""

    expires: float


class NoSuchDomain(Struct, frozen=True):
    """The name does not exist (NXDOMAIN), or is none: permanent."""

    expires: float


class NoAddress(Struct, frozen=True):
    """The name exists, without an address of the families asked for, and for mail without MX."""

    expires: float


class LookupFailed(Struct, frozen=True):
    """No usable answer (SERVFAIL, REFUSED, a timeout, nonsense): temporary, `reason` says what."""

    reason: str
    expires: float


MailHosts = Hosts | NullMx | NoSuchDomain | NoAddress | LookupFailed
HostAddresses = Addresses | NoSuchDomain | NoAddress | LookupFailed
