"""Parameters of MAIL and RCPT, the extensions that they need, and what they mean."""

from __future__ import annotations

import pytest
from msgspec import structs

from relay.ingress.wished import priority, times
from relay.mail import command as c
from relay.mail.command import Refused, parse_command
from relay.mail.envelope import Priority
from relay.mail.extensions import ALL, Extension
from relay.mail.wishes import By, Wishes
from tests.support.talk import OPTIONS, Talk

E = Extension


@pytest.mark.parametrize(
    ("parameters", "wishes"),
    [
        ("BODY=BINARYMIME", Wishes(frozenset({E.BINARYMIME}), binary=True)),
        ("smtputf8", Wishes(frozenset({E.SMTPUTF8}), smtputf8=True)),
        ("RET=full ENVID=a+2Bb", Wishes(frozenset({E.DSN}), ret="FULL", envid="a+2Bb")),
        ("REQUIRETLS", Wishes(frozenset({E.REQUIRETLS}), require_tls=True)),
        ("HOLDFOR=60", Wishes(frozenset({E.FUTURERELEASE}), hold_for=60)),
        (
            "HOLDUNTIL=2026-12-01T10:00:00+01:00",
            Wishes(frozenset({E.FUTURERELEASE}), hold_until=1796115600.0),
        ),
        ("BY=120;R", Wishes(frozenset({E.DELIVERBY}), by=By(120, True))),
        ("BY=-5;nT", Wishes(frozenset({E.DELIVERBY}), by=By(-5, False, True))),
        ("BY=+5;N", Wishes(frozenset({E.DELIVERBY}), by=By(5, False))),
        ("MT-PRIORITY=-3", Wishes(frozenset({E.MT_PRIORITY}), priority=-3)),
        ("AUTH=<>", Wishes(auth=True)),
        ("AUTH=ann+40s.example SIZE=9", Wishes(size=9, auth=True)),
    ],
)
def test_a_parameter_of_mail_is_a_wish(parameters: str, wishes: Wishes) -> None:
    line = f"MAIL FROM:<a@s.example> {parameters}".encode()
    assert parse_command(line) == c.Mail("a@s.example", wishes)


@pytest.mark.parametrize(
    "parameters",
    [
        "SMTPUTF8=yes", "RET=ALL", "ENVID=", "ENVID=" + "x" * 101, "ENVID=a+0Db", "ENVID=a+0ab",
        "HOLDFOR=", "HOLDFOR=-1", "HOLDFOR=9999999999", "HOLDUNTIL=tomorrow",
        "HOLDUNTIL=2026-12-01", "HOLDUNTIL=2026-12-01T10:00:00",
        "HOLDFOR=1 HOLDUNTIL=2026-12-01T10:00:00Z", "BY=5", "BY=0;R", "BY=-1;R", "BY=5;X", "BY=;R",
        "MT-PRIORITY=10",
        "MT-PRIORITY=-0", "MT-PRIORITY=+1", "REQUIRETLS=1", "AUTH=", "BODY=",
    ],
)  # fmt: skip
def test_a_malformed_wish_is_a_syntax_error(parameters: str) -> None:
    command = parse_command(f"MAIL FROM:<a@s.example> {parameters}".encode())
    assert isinstance(command, Refused)
    assert command.reply.code == 501


@pytest.mark.parametrize(
    ("parameters", "notify", "orcpt"),
    [
        ("NOTIFY=never", "NEVER", ""),
        ("NOTIFY=SUCCESS,delay", "SUCCESS,DELAY", ""),
        ("ORCPT=rfc822;b+40d.example", "", "rfc822;b+40d.example"),
    ],
)
def test_a_recipient_has_its_own(parameters: str, notify: str, orcpt: str) -> None:
    line = f"RCPT TO:<b@d.example> {parameters}".encode()
    assert parse_command(line) == c.Rcpt("b@d.example", notify, orcpt)


@pytest.mark.parametrize(
    "parameters",
    [
        "NOTIFY=", "NOTIFY=NEVER,SUCCESS", "NOTIFY=SUCCESS,SUCCESS", "NOTIFY=OFTEN", "ORCPT=x",
        "ORCPT=rfc822;", "ORCPT=rfc822;a+0D+0Ab", "ORCPT=rfc822;" + "x" * 500, "RET=FULL",
    ],
)  # fmt: skip
def test_a_malformed_wish_of_a_recipient_is_refused(parameters: str) -> None:
    assert isinstance(parse_command(f"RCPT TO:<b@d.example> {parameters}".encode()), Refused)


NEEDS = {
    "SMTPUTF8": E.SMTPUTF8, "RET=FULL": E.DSN, "BODY=BINARYMIME": E.BINARYMIME,
    "HOLDFOR=1": E.FUTURERELEASE, "BY=99;R": E.DELIVERBY, "MT-PRIORITY=1": E.MT_PRIORITY,
}  # fmt: skip


@pytest.mark.parametrize("parameter", NEEDS)
def test_what_is_not_announced_is_not_known(parameter: str) -> None:
    line = f"EHLO x\r\nMAIL FROM:<a@s.example> {parameter}\r\n".encode()
    for extensions, reply in ((ALL, "250 2.1.0"), (ALL - {NEEDS[parameter]}, "555 5.5.4")):
        talk = Talk(options=structs.replace(OPTIONS, extensions=extensions))
        assert talk.say(line)[-1] == reply
        assert (f"-{NEEDS[parameter]}".encode() in talk.output) is (reply[0] == "2")


@pytest.mark.parametrize(
    ("parameter", "reply"),
    [
        ("REQUIRETLS", "530 5.7.10"),
        ("HOLDFOR=604801", "501 5.5.4"),
        ("HOLDUNTIL=2026-11-01T00:00:00Z", "501 5.5.4"),
        ("HOLDUNTIL=2020-11-01T00:00:00Z", "250 2.1.0"),
        ("BY=59;R", "501 5.5.4"),
        ("BY=59;N", "250 2.1.0"),
        ("AUTH=<>", "555 5.5.4"),
    ],
)
def test_what_cannot_be_had_is_refused_at_mail(parameter: str, reply: str) -> None:
    talk = Talk(options=structs.replace(OPTIONS, extensions=ALL))
    assert talk.say(f"EHLO x\r\nMAIL FROM:<a@s.example> {parameter}\r\n".encode())[-1] == reply


def test_addresses_beyond_ascii_need_smtputf8_of_the_message() -> None:
    talk = Talk(options=structs.replace(OPTIONS, extensions=ALL))
    talk.say(b"EHLO x\r\n")
    assert talk.say("MAIL FROM:<ä@s.example>\r\n".encode()) == ["553 5.6.7"]
    assert talk.say(b"MAIL FROM:<a@s.example>\r\n") == ["250 2.1.0"]
    assert talk.say("RCPT TO:<ü@d.example>\r\n".encode()) == ["553 5.6.7"]
    assert talk.say("RCPT TO:<b@ü.example>\r\n".encode()) == ["553 5.6.7"]
    talk.say(b"RSET\r\n")
    said = talk.say(
        "MAIL FROM:<a@s.example> SMTPUTF8\r\nRCPT TO:<ü@d.example>\r\nDATA\r\n\r\n.\r\n".encode()
    )
    assert said[-1].startswith("250")
    assert talk.messages[0].envelope.smtputf8


def test_smtputf8_is_passed_on_only_where_it_is_needed() -> None:
    talk = Talk(options=structs.replace(OPTIONS, extensions=ALL))
    talk.say(b"EHLO x\r\n")
    for subject in ("plain", "Käse"):
        talk.say(
            "MAIL FROM:<a@s.example> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<b@d.example>\r\nDATA\r\n"
            f"Subject: {subject}\r\n\r\nKäse\r\n.\r\n".encode()
        )
    assert [message.envelope.smtputf8 for message in talk.messages] == [False, True]


def test_wishes_mean_times_and_a_class() -> None:
    now, age = 1000.0, 500
    assert times(Wishes(), now, age) == (0, 0)
    assert times(Wishes(hold_for=60), now, age) == (1_060_000, 1_560_000)
    assert times(Wishes(hold_until=2000.0), now, age) == (2_000_000, 2_500_000)
    assert times(Wishes(hold_until=999.0), now, age) == (0, 0)
    assert times(Wishes(by=By(120, True)), now, age) == (0, 1_120_000)
    assert times(Wishes(by=By(120, False)), now, age) == (0, 0)
    classes = [priority(level) for level in (-9, -1, 0, 1, 9)]
    assert classes == [Priority.LOW] * 2 + [Priority.NORMAL] + [Priority.HIGH] * 2
