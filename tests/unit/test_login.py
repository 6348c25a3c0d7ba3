"""AUTH: where it is offered, what is said, and what it opens (RFC 4954)."""

from __future__ import annotations

from base64 import b64encode

import pytest
from msgspec import structs

from relay.identity import Principal
from relay.mail.extensions import ALL
from tests.support.talk import OPTIONS, Talk

AUTH = structs.replace(OPTIONS, auth=True, extensions=ALL)
ANN = Principal("ann", "user", scopes=("send",), senders=("s.example",))
LOGINS = {("ann", "secret"): ANN}
PLAIN = b64encode(b"\0ann\0secret")


def client(*, secure: bool = True, clear_login: bool = False) -> Talk:
    talk = Talk(options=AUTH, rights=None, offer_tls=True, clear_login=clear_login, logins=LOGINS)
    if secure:
        talk.say(b"EHLO x\r\nSTARTTLS\r\n")
        talk.receiver.secured()
    talk.say(b"EHLO x\r\n")
    return talk


def said(talk: Talk) -> bytes:
    return talk.output[talk.output.rindex(b"250-relay.example") :]


def test_it_is_offered_inside_tls_and_where_it_is_allowed_outside() -> None:
    assert b"250-AUTH PLAIN LOGIN\r\n" in said(client())
    assert b"AUTH" not in said(client(secure=False))
    assert b"250-AUTH PLAIN LOGIN\r\n" in said(client(secure=False, clear_login=True))
    talk = client(secure=False)
    assert talk.say(b"AUTH PLAIN " + PLAIN + b"\r\n") == ["538 5.7.11"]
    assert talk.tried == []


@pytest.mark.parametrize(
    "lines",
    [
        [b"AUTH PLAIN " + PLAIN],
        [b"auth plain", PLAIN],
        [b"AUTH PLAIN " + b64encode(b"ann\0ann\0secret")],
        [b"AUTH LOGIN", b64encode(b"ann"), b64encode(b"secret")],
        [b"AUTH LOGIN " + b64encode(b"ann"), b64encode(b"secret")],
    ],
)
def test_a_login_opens_the_door_for_its_senders(lines: list[bytes]) -> None:
    talk = client()
    assert talk.say(b"MAIL FROM:<a@s.example>\r\n") == ["530 5.7.0"]
    for line in lines[:-1]:
        assert talk.say(line + b"\r\n")[0].startswith("334")
    assert talk.say(lines[-1] + b"\r\n") == ["235 2.7.0"]
    assert talk.say(b"AUTH PLAIN " + PLAIN + b"\r\n") == ["503 5.5.1"]
    assert talk.say(b"MAIL FROM:<a@t.example>\r\n") == ["550 5.7.1"]
    assert talk.say(b"MAIL FROM:<a@s.example> AUTH=<>\r\n") == ["250 2.1.0"]
    assert talk.say(b"AUTH PLAIN " + PLAIN + b"\r\n") == ["503 5.5.1"]


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        ([b"AUTH PLAIN", b"*"], "501 5.7.0"),
        ([b"AUTH PLAIN not/base64!"], "501 5.5.4"),
        ([b"AUTH PLAIN", b"not base64"], "501 5.5.2"),
        ([b"AUTH PLAIN AAA"], "501 5.5.2"),
        ([b"AUTH PLAIN ="], "501 5.5.2"),
        ([b"AUTH PLAIN " + b64encode(b"ann\0secret")], "501 5.5.2"),
        ([b"AUTH PLAIN " + b64encode(b"\0ann\0se\0cret")], "501 5.5.2"),
        ([b"AUTH PLAIN " + b64encode(b"\0\0secret")], "501 5.5.2"),
        ([b"AUTH PLAIN " + b64encode(b"\0\xff\0secret")], "501 5.5.2"),
        ([b"AUTH PLAIN " + b64encode(b"boss\0ann\0secret")], "535 5.7.8"),
        ([b"AUTH PLAIN " + b64encode(b"\0ann\0wrong")], "535 5.7.8"),
        ([b"AUTH PLAIN " + b64encode(b"\0ann\0")], "535 5.7.8"),
        ([b"AUTH LOGIN", b"="], "501 5.5.2"),
        ([b"AUTH LOGIN", b64encode(b"ann"), b64encode(b"wrong")], "535 5.7.8"),
        ([b"AUTH CRAM-MD5"], "504 5.5.4"),
        ([b"AUTH"], "501 5.5.4"),
    ],
)
def test_what_is_no_login_opens_nothing(lines: list[bytes], reply: str) -> None:
    talk = client()
    assert [talk.say(line + b"\r\n") for line in lines][-1] == [reply]
    assert talk.say(b"MAIL FROM:<a@s.example>\r\n") == ["530 5.7.0"]


def test_three_failed_logins_end_the_session() -> None:
    talk = client()
    wrong = b"AUTH PLAIN " + b64encode(b"\0ann\0wrong") + b"\r\n"
    assert [talk.say(wrong) for _ in range(3)][-1] == ["535 5.7.8", "421 4.7.0"]
    assert talk.closed


def test_what_is_pipelined_behind_a_login_waits_for_its_answer() -> None:
    talk = client()
    answer = talk.say(b"AUTH PLAIN " + PLAIN + b"\r\nMAIL FROM:<a@s.example>\r\n")
    assert answer == ["235 2.7.0", "250 2.1.0"]


def test_a_long_line_is_let_pass_while_somebody_logs_in_and_no_longer() -> None:
    talk = client()
    long = b64encode(b"\0ann\0" + b"x" * 9000)
    assert talk.say(b"AUTH PLAIN " + long + b"\r\n") == ["535 5.7.8"]
    assert talk.say(b"AUTH PLAIN\r\n" + long + b"\r\n")[-1] == "535 5.7.8"
    assert talk.say(b"MAIL FROM:<a@s.example> " + b" " * 3000 + b"\r\n") == ["500 5.5.2"]
    assert talk.say(b"AUTH PLAIN " + b"A" * 13_000) == ["500 5.5.2"]
    assert talk.closed


def test_what_was_logged_in_in_the_clear_is_forgotten_inside_tls() -> None:
    talk = client(secure=False, clear_login=True)
    assert talk.say(b"AUTH PLAIN " + PLAIN + b"\r\nSTARTTLS\r\n") == ["235 2.7.0", "220 2.0.0"]
    talk.receiver.secured()
    assert talk.say(b"EHLO x\r\nMAIL FROM:<a@s.example>\r\n")[-1] == "530 5.7.0"


@pytest.mark.parametrize(
    ("header", "reply"),
    [
        (b"From: a@s.example\r\n", "250 2.0.0"),
        (b"From: Boss <a@t.example>\r\n", "550 5.7.1"),
        (b"From: a@s.example, b@t.example\r\n", "550 5.7.1"),
        (b"From: a@s.example\r\nFrom: b@t.example\r\n", "550 5.6.0"),
        (b"Subject: x\r\n", "550 5.6.0"),
        (b"From: a@s.example\r\nnonsense\r\n", "550 5.6.0"),
    ],
)
def test_from_is_checked_as_well(header: bytes, reply: str) -> None:
    talk = client()
    talk.say(b"AUTH PLAIN " + PLAIN + b"\r\n")
    envelope = b"MAIL FROM:<a@s.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n"
    assert talk.say(envelope + header + b"\r\nhi\r\n.\r\n")[-1] == reply


def test_whom_a_proxy_speaks_for_has_its_own_rights() -> None:
    talk = Talk(xclient=True, networks=("192.0.2.1",))
    talk.say(b"EHLO filter\r\n")
    assert b"250-XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT\r\n" in talk.output
    stranger = b"XCLIENT ADDR=198.51.100.1 HELO=[198.51.100.1] PROTO=ESMTP NAME=x\r\n"
    assert talk.say(stranger)[0].startswith("220 relay.example")
    assert talk.say(b"EHLO x\r\nMAIL FROM:<a@s.example>\r\nRCPT TO:<b@d.example>\r\n")[-1] == (
        "554 5.7.1"
    )
    talk.say(b"RSET\r\nXCLIENT ADDR=192.0.2.1\r\nEHLO x\r\n")
    assert talk.say(b"MAIL FROM:<a@s.example>\r\nRCPT TO:<b@d.example>\r\n")[-1] == "250 2.1.5"
    talk.say(b"RSET\r\nXCLIENT ADDR=[UNAVAILABLE]\r\nXCLIENT HELO=y\r\n")
    talk.say(b"XCLIENT ADDR=IPV6:::ffff:192.0.2.1\r\n")
    assert talk.spoken_for == ["198.51.100.1", "192.0.2.1", "", None, "192.0.2.1"]


@pytest.mark.parametrize(
    "line",
    [b"XCLIENT", b"XCLIENT ADDR=x", b"XCLIENT HELO=a+20b", b"XCLIENT LOGIN=ann", b"XCLIENT A=b"],
)
def test_a_malformed_xclient_changes_nothing(line: bytes) -> None:
    talk = Talk(xclient=True)
    talk.say(b"EHLO filter\r\n")
    assert talk.say(line + b"\r\n") == ["501 5.5.4"]
    assert talk.spoken_for == []


def test_who_may_not_speak_for_others_does_not() -> None:
    talk = Talk(rights=None, networks=("192.0.2.1",))
    assert talk.say(b"EHLO x\r\nXCLIENT ADDR=192.0.2.1\r\n")[-1] == "550 5.7.1"
    assert talk.say(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n") == ["554 5.5.0"]
    assert talk.spoken_for == []
    assert talk.closed
