"""A door: what a listener announces and whom it lets in."""

from __future__ import annotations

from msgspec import Struct

from relay.ingress.access import LOOPBACK, Network
from relay.mail.transaction import ReceiverOptions


class Door(Struct, frozen=True, kw_only=True):
    """What all sessions of a listener have in common."""

    receiver: ReceiverOptions
    #: Clients that may submit, and as anybody, without a login.
    networks: tuple[Network, ...] = LOOPBACK
    #: TLS from the first octet on (RFC 8314); else STARTTLS, where there is a certificate.
    implicit_tls: bool = False
    #: Clients that may log in outside TLS.
    clear_logins: tuple[Network, ...] = ()
    #: Load balancers: what they say in a PROXY header is believed, and must come first.
    proxies: tuple[Network, ...] = ()
    #: Clients that may speak for others by XCLIENT.
    xclients: tuple[Network, ...] = ()
