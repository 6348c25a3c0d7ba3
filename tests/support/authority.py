"""Certificates of hosts as tests need them: a real authority's, another's, or of a past time."""

from __future__ import annotations

import datetime
import hashlib
import ssl
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Authority:
    """An authority that a test's client trusts; `file` holds its certificate."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self._stranger = trustme.CA()
        self.file = str(directory / "authority.pem")
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, state: str = "good") -> trustme.LeafCert:
        """A certificate; `state`: good, stranger (of an authority nobody trusts) or expired."""
        if state == "stranger":
            return self._stranger.issue_cert(*names)
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        return self._authority.issue_cert(*names, not_after=past if state == "expired" else None)

    def server(self, *names: str, state: str = "good") -> ssl.SSLContext:
        """A server's context with such a certificate."""
        return context(self.issue(*names, state=state))

    def below(self, *names: str) -> tuple[ssl.SSLContext, bytes]:
        """A context with a certificate of an authority below, and that one's own certificate."""
        below = self._stranger.create_child_ca()
        leaf = below.issue_cert(*names)
        return context(leaf), below.cert_pem.bytes()


def context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """A server's context with this certificate and those behind it."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(made)
    return made


def tlsa(pem: bytes, usage: int, selector: int, matching: int) -> str:
    """A TLSA record for a certificate."""
    certificate = x509.load_pem_x509_certificate(pem)
    if selector == 0:
        selected = certificate.public_bytes(Encoding.DER)
    else:
        selected = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    data = {0: selected, 1: hashlib.sha256(selected).digest(), 2: hashlib.sha512(selected).digest()}
    return f"{usage} {selector} {matching} {data[matching].hex()}"
