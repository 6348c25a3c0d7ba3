"""The TLS settings of a client, by mode (RFC 3207, RFC 8996)."""

from __future__ import annotations

import ssl
from functools import cache

from relay.smtp.options import TlsMode


@cache
def context_of(mode: TlsMode) -> ssl.SSLContext:
    """The context for connections in that mode; made once: the trust store takes long to read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Resumption brings little to sessions that are kept, and some large hosts get it wrong.
    context.options |= ssl.OP_NO_TICKET
    if mode is TlsMode.VERIFIED:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if mode is TlsMode.OPPORTUNISTIC:
        # Where the alternative is no TLS at all, short keys are better than none.
        context.set_ciphers("DEFAULT:@SECLEVEL=1")
    return context


def server_name(host: str) -> str | None:
    """The name for which a certificate is wanted, None where there is none. (The ssl module knows
    an IP address when it sees one, and does not put it into SNI.)"""
    return host.rstrip(".").strip("[]") or None


def level(version: str, mode: TlsMode) -> str:
    """The security level that a session reached: none, encrypted or authenticated."""
    if not version:
        return "none"
    return "authenticated" if mode is TlsMode.VERIFIED else "encrypted"
