"""Feedback reports: what they tell of who complained about what, and what is none."""

from __future__ import annotations

import pytest

from relay.mail.feedback import MOST_OCTETS, Feedback, NoReport, complainant, feedback
from tests.support.complaints import ID, report


def test_a_report_tells_kind_recipient_and_message() -> None:
    assert feedback(report()) == Feedback("abuse", "u@a.example", (("relay.test", ID),))


def test_the_header_section_alone_is_enough() -> None:
    told = feedback(report(original="text/rfc822-headers"))
    assert told.passed == (("relay.test", ID),)


def test_lines_may_end_in_lf_alone() -> None:
    told = feedback(report().replace(b"\r\n", b"\n"))
    assert told.passed == (("relay.test", ID),)


def test_a_recipient_that_is_blackened_is_none() -> None:
    assert feedback(report(recipient="[redacted]")).recipient == ""


def test_of_several_relays_the_newest_comes_first() -> None:
    other = "1m84m0ehk0095p2djv4r"
    earlier = f"Received: from x by First.Example (Relay) with ESMTPS id {other};\r\n\tnow\r\n"
    assert feedback(report(more=earlier)).passed == (
        ("relay.test", ID),
        ("first.example", other),
    )


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        pytest.param(b"Subject: hello\r\n\r\nhi\r\n", "no multipart/report", id="a message"),
        pytest.param(b"", "no multipart/report", id="nothing"),
        pytest.param(report(kind="not-spam"), "not-spam, is no complaint", id="taken back"),
        pytest.param(report(kind="auth-failure"), "is no complaint", id="of DMARC"),
        pytest.param(report(kind=""), "missing, is no complaint", id="no kind"),
        pytest.param(report(by="mx.example (Postfix)"), "no Received", id="not by Relay"),
        pytest.param(b"x" * (MOST_OCTETS + 1), "longer than", id="too long"),
    ],
)
def test_what_is_no_complaint_is_told(octets: bytes, why: str) -> None:
    with pytest.raises(NoReport, match=why):
        feedback(octets)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("<U@A.Example>", "U@a.example"),
        ("rfc822; u@a.example", "u@a.example"),
        ("u a@example", ""),
        ("x" * 400 + "@a.example", ""),
        ("", ""),
    ],
)
def test_an_address_is_cleaned_or_none(said: str, meant: str) -> None:
    assert complainant(said) == meant
