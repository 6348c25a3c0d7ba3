"""When a certificate expires: its `notAfter`, read from its DER encoding (RFC 5280 section 4.1)."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

_SEQUENCE, _EXPLICIT_0, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_END = "-----END CERTIFICATE-----"


def expires(pem: str) -> float:
    """The Unix time at which the first certificate of a chain expires. Raises ValueError."""
    start = pem.find("-----BEGIN CERTIFICATE-----")
    first = pem[start : pem.index(_END, start) + len(_END)]
    certificate = _open(ssl.PEM_cert_to_DER_cert(first), _SEQUENCE)
    fields = _parts(_open(certificate, _SEQUENCE))
    if fields and fields[0][0] == _EXPLICIT_0:
        # The version, which only version 1 leaves away.
        fields = fields[1:]
    # serialNumber, signature, issuer, validity.
    if len(fields) < 4 or fields[3][0] != _SEQUENCE:
        raise ValueError("not a certificate")
    _, not_after = _parts(fields[3][1])
    return _time(*not_after)


def _time(tag: int, octets: bytes) -> float:
    text = octets.decode("ascii")
    if tag == _UTC_TIME:
        # Two digits of the year: 50 and up are of the twentieth century.
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _open(octets: bytes, tag: int) -> bytes:
    found, content = _parts(octets)[0]
    if found != tag:
        raise ValueError("not a certificate")
    return content


def _parts(octets: bytes) -> list[tuple[int, bytes]]:
    """The values that lie side by side in `octets`: tag and content of each."""
    found, at = [], 0
    while at + 2 <= len(octets):
        tag, size, start = octets[at], octets[at + 1], at + 2
        if size & 0x80:
            more = size & 0x7F
            size, start = int.from_bytes(octets[start : start + more], "big"), start + more
        if start + size > len(octets):
            raise ValueError("a value is cut off")
        found.append((tag, octets[start : start + size]))
        at = start + size
    if not found or at != len(octets):
        raise ValueError("a value is cut off")
    return found
