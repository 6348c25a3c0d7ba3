"""`relay sendmail` reads what sendmail(1) reads; what becomes of it is in tests/e2e."""

from __future__ import annotations

import io
import sys
from argparse import Namespace

import pytest

from relay.cli import sendmail
from relay.cli.main import main
from relay.cli.sendmail import Asked, Refused, outgoing, parse
from relay.cli.submit import Outgoing
from relay.mail.compose import xtext

MESSAGE = (
    b"From: Ann <ann@example.com>\nTo: bob@example.net\n"
    b"Bcc: Cy <cy@example.net>,\n dee@example.net\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\nMessage-ID: <a@b>\n\nHello\n.\nafter the dot\n"
)


def made(*words: str, octets: bytes = MESSAGE) -> Outgoing:
    asked = parse(words)
    return outgoing(sendmail._read(octets, asked), asked)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("-i a@b.c", Asked(("a@b.c",), dots_end=False)),
        ("-oi -oem -om a@b.c d@e.f", Asked(("a@b.c", "d@e.f"), dots_end=False)),
        ("-ti", Asked((), from_header=True, dots_end=False)),
        ("-t -fann@example.com", Asked((), sender="ann@example.com", from_header=True)),
        ("-f ann@EXAMPLE.com -- -odd@x.y", Asked(("-odd@x.y",), sender="ann@example.com")),
        ("-f <> a@b.c", Asked(("a@b.c",), sender="")),
        ("-r ann@example.com a@b.c", Asked(("a@b.c",), sender="ann@example.com")),
        ("-N failure,delay a@b.c", Asked(("a@b.c",), notify="FAILURE,DELAY")),
        ("-R hdrs -V a=b+c a@b.c", Asked(("a@b.c",), ret="HDRS", envid="a+3Db+2Bc")),
        ("-B 8BITMIME -v -vv -G -n -m -U a@b.c", Asked(("a@b.c",))),
        ("-L tag -o7 -X /dev/null -h 3 a@b.c", Asked(("a@b.c",))),
        ("-bm -C /etc/relay.toml a@b.c", Asked(("a@b.c",), config="/etc/relay.toml")),
    ],
)
def test_options_are_read_as_sendmail_reads_them(words: str, wanted: Asked) -> None:
    assert parse(words.split()) == wanted


def test_a_name_may_have_spaces() -> None:
    assert parse(["-F", "Ann Example", "a@b.c"]).name == "Ann Example"


@pytest.mark.parametrize(
    "words",
    ["-f", "-N", "-N sometimes x@y.z", "-N never,delay x@y.z", "-R some", "-B 9BIT", "-bs", "-bp",
     "-bd", "-q", "-Z", "-f a@@b", "-V \x7f"],
)  # fmt: skip
def test_what_is_no_option_is_wrong_usage(words: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(words.split(" "))
    assert caught.value.code == 64


def test_the_header_section_names_the_recipients_and_loses_its_blind_copies() -> None:
    message = made("-t", "-i", "-f", "sender@example.com", "eve@example.org")
    assert message.sender == "sender@example.com"
    assert message.recipients == (
        *("eve@example.org", "bob@example.net", "cy@example.net", "dee@example.net"),
    )
    assert message.content == (
        b"From: Ann <ann@example.com>\r\nTo: bob@example.net\r\n"
        b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <a@b>\r\n\r\n"
        b"Hello\r\n.\r\nafter the dot\r\n"
    )


def test_a_dot_alone_ends_the_message_unless_it_is_told_not_to() -> None:
    assert made("a@b.example").content.endswith(b"\r\n\r\nHello\r\n")
    assert made("-i", "a@b.example").content.endswith(b"after the dot\r\n")


def test_a_bcc_field_stays_behind_though_the_recipients_are_named() -> None:
    content = made("-i", "a@b.example").content
    assert b"Bcc" not in content
    assert b"\r\nTo: bob@example.net\r\n" in content


def test_what_a_message_lacks_is_put_in() -> None:
    message = made("-F", "Ann Example", "-f", "ann@example.com", "bob", octets=b"Just text\n")
    head, _, body = message.content.partition(b"\r\n\r\n")
    assert b"From: Ann Example <ann@example.com>\r\n" in head
    assert b"\r\nDate: " in head
    assert b"\r\nMessage-ID: <" in head
    assert body == b"Just text\r\n"
    assert message.recipients[0].startswith("bob@")


def test_a_line_from_a_mailbox_file_is_left_out() -> None:
    octets = b"From ann Thu Jan  1 00:00:00 2026\n" + MESSAGE
    assert made("-i", "a@b.example", octets=octets).content.startswith(b"From: Ann")


@pytest.mark.parametrize(
    ("words", "octets", "code"),
    [
        (["-t"], b"Subject: nobody\n\nx\n", 64),
        ([], MESSAGE, 64),
        (["no one"], MESSAGE, 67),
        (["a@b.example"], b"Subject: x\n\na\0b\n", 65),
    ],
)
def test_what_cannot_be_sent_has_its_code(words: list[str], octets: bytes, code: int) -> None:
    with pytest.raises(Refused) as caught:
        made(*words, octets=octets)
    assert caught.value.code == code


def test_no_server_is_a_temporary_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_SMTP__LISTEN", "127.0.0.1:1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MESSAGE)))
    assert main(["sendmail", "-t"]) == 75
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MESSAGE)))
    assert sendmail.sendmail(Namespace(words=["-Z"])) == 64


def test_xtext_leaves_what_needs_no_encoding() -> None:
    assert xtext("a+b=c d~!") == "a+2Bb+3Dc+20d~!"
