"""The envelope: sender and recipients with their ESMTP parameters (RFC 5321 section 2.3.1)."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Priority(StrEnum):
    """The class of a message: with the tenant it makes the lane in which a delivery waits."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Recipient(Struct, frozen=True, array_like=True, omit_defaults=True):
    """One RCPT TO address: its domain an A-label in lower case, its local part as given."""

    address: str
    #: NOTIFY of RFC 3461 section 4.1: "" (the default), "NEVER", or such as "SUCCESS,FAILURE".
    notify: str = ""
    #: ORCPT of RFC 3461 section 4.2, still xtext-encoded.
    orcpt: str = ""

    @property
    def domain(self) -> str:
        """What stands right of the last @."""
        return self.address[self.address.rindex("@") + 1 :]


class Envelope(Struct, frozen=True, array_like=True, omit_defaults=True):
    """All that is said about a message besides its content. `sender` is `""` for a DSN."""

    sender: str
    recipients: tuple[Recipient, ...]
    #: BODY=8BITMIME was given (RFC 6152), so the content may have octets above 127.
    eight_bit: bool = False
    smtputf8: bool = False
    #: RET of RFC 3461 section 4.3: "", "FULL" or "HDRS".
    ret: str = ""
    #: ENVID of RFC 3461 section 4.4, still xtext-encoded.
    envid: str = ""
    #: BODY=BINARYMIME, and content that cannot be sent by DATA (RFC 3030).
    binary: bool = False
    #: REQUIRETLS was given (RFC 8689): never in the clear, nor to an unknown host.
    require_tls: bool = False
    #: MT-PRIORITY of RFC 6710, from -9 to 9; passed on to hosts that know it.
    mt_priority: int = 0
    #: `TLS-Required: No` stands in its header section, and REQUIRETLS was not given (RFC 8689
    #: section 4.1): no failure of TLS keeps it from being sent.
    tls_optional: bool = False
