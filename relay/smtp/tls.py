"""The TLS settings of a client, by mode, and what a handshake has shown (RFC 3207, RFC 8996)."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Any

from relay.policy.tls import Requirement, TlsMode, has_name


@lru_cache(maxsize=32)
def context_of(mode: TlsMode, authorities: str = "", *, named: bool = False) -> ssl.SSLContext:
    """The context for connections in that mode; made once: the trust store takes long to read.

    `authorities`: a file of certificates in place of the system's trust store. `named`: the host's
    own name is not what the certificate must have, so that whoever calls looks at the name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Resumption brings little to sessions that are kept, and some large hosts get it wrong.
    context.options |= ssl.OP_NO_TICKET
    if mode is TlsMode.VERIFIED:
        context.check_hostname = not named
        if authorities:
            context.load_verify_locations(authorities)
        else:
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


def objection(tls: ssl.SSLObject, needs: Requirement, host: str) -> str:
    """What stands against the host's certificate, besides what the handshake itself has verified;
    "" for nothing."""
    if needs.mode is TlsMode.DANE:
        # Not before it is needed: it takes 8 MiB in each process. A worker has it from its start.
        from relay.smtp import dane

        return dane.objection(_chain(tls), needs.tlsa, host)
    if needs.mode is TlsMode.VERIFIED and needs.names:
        found = [name for kind, name in _names(tls) if kind == "DNS"]
        if not any(has_name(name, wanted) for name in found for wanted in needs.names):
            return f"it is for {', '.join(found[:5]) or 'no name'}, not {', '.join(needs.names)}"
    return ""


def level(version: str, verified: str) -> str:
    """The security level that a session reached: none, encrypted or authenticated."""
    if not version:
        return "none"
    return "authenticated" if verified else "encrypted"


def _names(tls: ssl.SSLObject) -> list[tuple[str, str]]:
    certificate: dict[str, Any] = tls.getpeercert() or {}
    return list(certificate.get("subjectAltName", ()))


def _chain(tls: ssl.SSLObject) -> list[bytes]:
    """The certificates that the host presented, its own first, as DER."""
    if hasattr(tls, "get_unverified_chain"):
        return list(tls.get_unverified_chain())
    # Before Python 3.13 the same is there under a name of its own.
    inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return [one.public_bytes(_DER) for one in inner.get_unverified_chain() or ()]


#: What the module below `ssl` calls the encoding.
_DER = 2
