"""When a certificate expires."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
import trustme

from relay.ingress.certificate import expires


@pytest.mark.parametrize("year", [2031, 2049, 2050, 2090])
def test_the_date_is_read_whichever_way_it_is_written(year: int) -> None:
    date = datetime(year, 2, 28, 13, 14, 15, tzinfo=UTC)
    certificate = trustme.CA().issue_cert("mx.example", not_after=date)
    assert expires(certificate.cert_chain_pems[0].bytes().decode()) == date.timestamp()


def test_of_a_chain_it_is_the_first_ones() -> None:
    authority = trustme.CA()
    date = datetime(2033, 1, 1, tzinfo=UTC)
    own = authority.issue_cert("mx.example", not_after=date).cert_chain_pems[0].bytes()
    assert expires((own + authority.cert_pem.bytes()).decode()) == date.timestamp()


@pytest.mark.parametrize(
    "octets", [b"", b"\x30", b"\x30\x80", b"\x30\x02\x30", b"\x30\x03\x30\x01\x02"]
)
def test_what_is_no_certificate_is_refused(octets: bytes) -> None:
    body = base64.b64encode(octets).decode()
    with pytest.raises(ValueError, match="cut off"):
        expires(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")


def test_a_text_without_a_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="not found"):
        expires("nothing")
