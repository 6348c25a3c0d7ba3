from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.client_commands import mail_from, rcpt_to, sendable, wire


@pytest.mark.parametrize(
    "address",
    [
        "a@s.example",
        "first.last+tag@s.example",
        "o'hara=x@s.example",
        "postmaster",
        '"a b"@s.example',
        '"a>b"@s.example',
        r'"a\"b\\"@s.example',
        '""@s.example',
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
    ],
)
def test_addresses_that_can_be_sent(address: str) -> None:
    assert sendable(address, smtputf8=False)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a@s.example\r\nDATA",
        "a\n@s.example",
        "a\x00@s.example",
        "a\x7f@s.example",
        "a\x85@s.example",
        "a\u2028@s.example",
        "a b@s.example",
        "a@s.example> SIZE=1",
        "<a@s.example",
        '"a\r\n"@s.example',
        '"a\\\r"@s.example',
        '"a"b"@s.example',
        '"a@s.example',
        '"a"@s.example> NOTIFY=NEVER',
        '"a"@s."example',
    ],
)
def test_addresses_that_would_change_the_command(address: str) -> None:
    assert not sendable(address, smtputf8=True)


def test_an_address_in_utf_8_is_sent_only_with_smtputf8() -> None:
    assert sendable("ä@s.example", smtputf8=True)
    assert not sendable("ä@s.example", smtputf8=False)


def test_commands_name_what_they_have_a_value_for() -> None:
    assert mail_from("") == "MAIL FROM:<>"
    assert mail_from("a@b", size=9) == "MAIL FROM:<a@b> SIZE=9"
    assert (
        mail_from("a@b", size=9, eight_bit=True, smtputf8=True)
        == "MAIL FROM:<a@b> SIZE=9 BODY=8BITMIME SMTPUTF8"
    )
    assert wire(mail_from("ä@b"), rcpt_to("c@d"), "DATA") == (
        b"MAIL FROM:<\xc3\xa4@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
    )


def test_what_was_asked_for_a_message_is_asked_of_the_next_host() -> None:
    asked = mail_from("a@b", ret="HDRS", envid="x+2By", mt_priority=-3)
    assert asked == "MAIL FROM:<a@b> MT-PRIORITY=-3 RET=HDRS ENVID=x+2By"
    asked = rcpt_to("c@d", "SUCCESS,DELAY", "rfc822;c+40d")
    assert asked == "RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+40d"
    assert mail_from("a@b", envid="x\r\nDATA") == "MAIL FROM:<a@b>"
    assert rcpt_to("c@d", orcpt="rfc822;a b") == "RCPT TO:<c@d>"


@given(st.text(max_size=30))
def test_whatever_can_be_sent_makes_one_line(address: str) -> None:
    if sendable(address, smtputf8=True):
        octets = wire(rcpt_to(address))
        assert octets.count(b"\n") == octets.count(b"\r") == 1
        assert len(octets.decode().splitlines()) == 1
