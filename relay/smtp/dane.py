"""DANE: whether a chain of certificates is one that TLSA records name (RFC 6698, RFC 7672)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from relay.policy.tls import Tlsa

_TRUST_ANCHOR, _END_ENTITY = 2, 3
#: Certificates of a chain that are looked at.
_MOST = 10


def objection(chain: Sequence[bytes], records: Sequence[Tlsa], host: str) -> str:
    """What stands against the chain (DER, the host's own certificate first); "" for nothing.

    A record for the host's own certificate or key says all: neither its name nor its time counts
    (RFC 7672 section 3.1.1). One for an authority vouches for what that one signed for the host's
    name (section 3.1.2).
    """
    if not chain:
        return "the host presented none"
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in chain[:_MOST]]
        if any(one.usage == _END_ENTITY and _names(one, certificates[0]) for one in records):
            return ""
        anchors = _anchors(certificates, [one for one in records if one.usage == _TRUST_ANCHOR])
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"a certificate is malformed ({error})"
    if not anchors:
        return "no TLSA record names it"
    return _unvouched(certificates, anchors, host)


def _names(record: Tlsa, certificate: x509.Certificate) -> bool:
    if record.selector == 0:
        selected = certificate.public_bytes(Encoding.DER)
    else:
        selected = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    if record.matching == 0:
        return selected == record.data
    digest = hashlib.sha256 if record.matching == 1 else hashlib.sha512
    return digest(selected).digest() == record.data


def _anchors(
    certificates: Sequence[x509.Certificate], records: Sequence[Tlsa]
) -> list[x509.Certificate]:
    """Authorities that the records name: of the chain, or whole in a record."""
    found = [one for one in certificates[1:] if any(_names(record, one) for record in records)]
    found += [
        x509.load_der_x509_certificate(record.data)
        for record in records
        if record.selector == 0 and record.matching == 0
    ]
    return found


def _unvouched(
    certificates: list[x509.Certificate], anchors: list[x509.Certificate], host: str
) -> str:
    builder = PolicyBuilder().store(Store(anchors))
    builder = builder.extension_policies(ca_policy=_OF_AUTHORITIES, ee_policy=_OF_HOSTS)
    try:
        verifier = builder.build_server_verifier(x509.DNSName(host))
        verifier.verify(certificates[0], certificates[1:])
    except (VerificationError, ValueError) as error:
        return f"the authority of its TLSA record does not vouch for it ({error})"
    return ""


def _may_be(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("a certificate that is no authority's signed another")


def _may_sign(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("a key that may not sign certificates signed one")


# Authorities that TLSA records name are often a site's own, and need not keep to the rules of those
# that browsers trust. What makes one safe is asked of them all the same.
_ANY = Criticality.AGNOSTIC
_OF_AUTHORITIES = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, _ANY, _may_be)
    .may_be_present(x509.KeyUsage, _ANY, _may_sign)
)
_OF_HOSTS = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, _ANY, None)
