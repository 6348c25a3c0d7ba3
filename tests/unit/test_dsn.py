from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.dsn import FULL_LIMIT, Action, Report, Reported, dsn

CONTENT = (
    b"Received: from c.example by relay.example; Mon, 21 Sep 2026 14:13:20 +0000\r\n"
    b"From: a@s.example\r\nSubject: hello\r\nMessage-ID:\r\n <original@s.example>\r\n\r\nbody\r\n"
)
FAILED = Reported(
    "b@d.example",
    Action.FAILED,
    "5.1.1",
    orcpt="rfc822;B+2Bx@d.example",
    host="mx.d.example",
    diagnostic="550 5.1.1 no such user",
    attempted_ms=1_790_000_060_000,
)
REPORT = Report(
    id="01m5qrs0c00000000000",
    host="relay.example",
    sender="a@s.example",
    at_ms=1_790_000_060_000,
    message="01m5qrs0000000000000",
    accepted_ms=1_790_000_000_000,
    recipients=(FAILED,),
    content=CONTENT,
    size=len(CONTENT),
    envid="QQ314159+2B",
)


def report(content: bytes = CONTENT, *recipients: Reported, **changed: object) -> Report:
    given = {"content": content, "size": len(content), "recipients": recipients or (FAILED,)}
    return msgspec.structs.replace(REPORT, **(given | changed))


def parsed(data: bytes) -> tuple[EmailMessage, list[Message]]:
    """A DSN and its three parts, after a look at its lines."""
    assert data.endswith(b"\r\n")
    assert data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n")
    assert max(len(line) for line in data.split(b"\r\n")) <= 998
    message = BytesParser(policy=policy.default).parsebytes(data)
    assert not message.defects
    assert message.get_content_type() == "multipart/report"
    parts = cast("list[Message]", message.get_payload())
    assert len(parts) == 3
    assert not any(part.defects for part in parts)
    return message, parts


def groups(data: bytes) -> list[Message]:
    """The groups of fields for machines: about the message, then about each recipient."""
    _, parts = parsed(data)
    assert parts[1].get_content_type() == "message/delivery-status"
    return [group for group in cast("list[Message]", parts[1].get_payload()) if group.keys()]


def test_a_dsn_is_a_multipart_report_to_the_sender() -> None:
    message, parts = parsed(dsn(REPORT))
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@relay.example>"
    assert message["To"] == "a@s.example"
    assert message["Message-ID"] == "<01m5qrs0c00000000000@relay.example>"
    assert message["Date"] == "Mon, 21 Sep 2026 14:14:20 +0000"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == message["References"] == "<original@s.example>"
    assert message.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]
    text = cast(str, parts[0].get_payload())
    assert "<b@d.example>" in text
    assert "host mx.d.example said: 550 5.1.1 no such user" in text


def test_the_part_for_machines_has_the_fields_of_rfc_3464() -> None:
    about_message, about_recipient = groups(dsn(REPORT))
    assert about_message.items() == [
        ("Reporting-MTA", "dns; relay.example"),
        ("Original-Envelope-Id", "QQ314159+"),
        ("X-Relay-Message-Id", "01m5qrs0000000000000"),
        ("Arrival-Date", "Mon, 21 Sep 2026 14:13:20 +0000"),
    ]
    assert about_recipient.items() == [
        ("Original-Recipient", "rfc822; B+x@d.example"),
        ("Final-Recipient", "rfc822; b@d.example"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; mx.d.example"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 no such user"),
        ("Last-Attempt-Date", "Mon, 21 Sep 2026 14:14:20 +0000"),
    ]


def test_the_same_report_makes_the_same_octets() -> None:
    assert dsn(REPORT) == dsn(msgspec.structs.replace(REPORT))


def test_each_recipient_has_its_group_and_the_subject_says_the_worst() -> None:
    data = dsn(
        report(
            CONTENT,
            Reported("ok@d.example", Action.RELAYED, "2.0.0"),
            Reported("late@d.example", Action.DELAYED, "4.4.1", retry_until_ms=1_790_000_000_000),
            Reported("old@d.example", Action.FAILED, "4.4.7", diagnostic="421 4.4.1 no answer"),
        )
    )
    message, parts = parsed(data)
    assert message["Subject"] == "Undelivered mail returned to sender"
    _, relayed, delayed, expired = groups(data)
    assert (relayed["Action"], relayed["Status"]) == ("relayed", "2.0.0")
    assert (delayed["Action"], delayed["Status"]) == ("delayed", "4.4.1")
    assert delayed["Will-Retry-Until"] == "Mon, 21 Sep 2026 14:13:20 +0000"
    assert (expired["Action"], expired["Status"]) == ("failed", "4.4.7")
    assert expired["Diagnostic-Code"] == "x-relay; 421 4.4.1 no answer"
    assert "tried until its time was over" in str(parts[0].get_payload())


@pytest.mark.parametrize(
    ("action", "subject"),
    [
        (Action.DELAYED, "Delayed mail: still being tried"),
        (Action.RELAYED, "Mail delivery report"),
        (Action.DELIVERED, "Mail delivery report"),
        (Action.EXPANDED, "Mail delivery report"),
    ],
)
def test_a_report_without_failures_returns_headers_only(action: Action, subject: str) -> None:
    message, parts = parsed(dsn(report(CONTENT, Reported("b@d.example", action, ""), ret="FULL")))
    assert message["Subject"] == subject
    assert parts[2].get_content_type() == "text/rfc822-headers"


EIGHT_BIT = CONTENT + "größe\r\n".encode()
LONG_LINE = CONTENT + b"x" * 999 + b"\r\n"
BARE_LF = CONTENT + b"a\nb\r\n"
LARGE = CONTENT + b"line\r\n" * FULL_LIMIT
LARGE_HEADER = b"X-Long: " + b"x\r\n x" * FULL_LIMIT
WHOLE, HEADERS = "message/rfc822", "text/rfc822-headers"


@pytest.mark.parametrize(
    ("content", "ret", "kind"),
    [
        pytest.param(CONTENT, "", WHOLE, id="small"),
        pytest.param(CONTENT, "FULL", WHOLE, id="small, all asked for"),
        pytest.param(CONTENT, "HDRS", HEADERS, id="small, headers asked for"),
        pytest.param(LARGE, "FULL", HEADERS, id="above the limit"),
        pytest.param(LARGE_HEADER, "FULL", HEADERS, id="a header section above every limit"),
        pytest.param(EIGHT_BIT, "", HEADERS, id="8-bit"),
        pytest.param(EIGHT_BIT, "FULL", WHOLE, id="8-bit, all asked for"),
        pytest.param(LONG_LINE, "FULL", HEADERS, id="a line too long for SMTP"),
        pytest.param(BARE_LF, "FULL", HEADERS, id="a bare LF"),
        pytest.param(b"\r\nno header\r\n", "", WHOLE, id="no header section"),
        pytest.param(b"no line end", "FULL", WHOLE, id="neither header nor line"),
        pytest.param(b"", "", WHOLE, id="nothing"),
    ],
)
def test_the_message_is_returned_whole_or_its_header_section_is(
    content: bytes, ret: str, kind: str
) -> None:
    data = dsn(report(content, ret=ret))
    _, parts = parsed(data)
    assert parts[2].get_content_type() == kind
    if kind == WHOLE:
        assert b"\r\n\r\n" + content + b"\r\n--=_relay_" in data
    assert len(data) < len(content) + 10_000


def test_a_message_of_which_only_the_beginning_is_at_hand_returns_its_headers() -> None:
    _, parts = parsed(dsn(report(CONTENT[:-3], size=len(CONTENT), ret="FULL")))
    assert parts[2].get_content_type() == "text/rfc822-headers"
    assert "Subject: hello" in str(parts[2].get_payload())


def test_eight_bit_content_makes_the_report_eight_bit_and_nothing_else_does() -> None:
    whole, _ = parsed(dsn(report(EIGHT_BIT, ret="FULL")))
    assert whole["Content-Transfer-Encoding"] == "8bit"
    headers = dsn(report(EIGHT_BIT))
    assert headers.isascii()
    utf8_header = "Subject: größe\r\n\r\nbody\r\n".encode()
    quoted = dsn(report(utf8_header))
    assert quoted.isascii()
    _, parts = parsed(quoted)
    assert parts[2].get_payload(decode=True) == "Subject: größe\r\n".encode()
    _, parts = parsed(dsn(report(utf8_header, ret="FULL")))
    assert parts[2].get_content_type() == "message/global"


def test_addresses_beyond_ascii_are_spelled_out_for_machines_and_readable_for_people() -> None:
    recipient = Reported(
        "gr+öße@d.example", Action.FAILED, "5.6.7", orcpt="utf-8;\\x{F6}@d.example"
    )
    data = dsn(report(CONTENT, recipient))
    about = groups(data)[1]
    assert about["Final-Recipient"] == "utf-8; gr\\x{2B}\\x{F6}\\x{DF}e@d.example"
    assert about["Original-Recipient"] == "utf-8; \\x{F6}@d.example"
    _, parts = parsed(data)
    assert "<gr+öße@d.example>" in cast(bytes, parts[0].get_payload(decode=True)).decode()
    assert data.isascii()


def test_a_sender_beyond_ascii_stands_in_the_to_field_as_it_is() -> None:
    assert "To: <größe@s.example>\r\n".encode() in dsn(report(sender="größe@s.example"))


def test_a_message_cannot_close_the_part_that_returns_it() -> None:
    inside = b"Subject: x\r\n\r\n--=_relay_01m5qrs0c00000000000--\r\n\r\nFrom: forged\r\n"
    _, parts = parsed(dsn(report(inside)))
    [returned] = cast("list[Message]", parts[2].get_payload())
    assert "From: forged" in str(returned.get_payload())


HOSTILE = (
    "550 x\r\nSubject: injected\r\n\r\n--=_relay_01m5qrs0c00000000000\r\n",
    "550 \x1b]0;title\x07\x1b[31m",
    "550 " + "y" * 100_000,
    "550 " + "a " * 50_000,
    "550 \0\u202e\u2028\udc80 größe",
    "\r\n\r\n",
    "   \t ",
)


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_add_no_field_and_no_part(hostile: str) -> None:
    recipient = Reported(
        address=hostile, action=Action.FAILED, status=hostile, orcpt=f"rfc822;{hostile}",
        host=hostile, diagnostic=hostile,
    )  # fmt: skip
    data = dsn(report(CONTENT, recipient, sender=hostile, envid=hostile))
    message, _ = parsed(data)
    assert set(message.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
        "Auto-Submitted", "MIME-Version", "Content-Type",
    }  # fmt: skip
    about_message, about_recipient = groups(data)
    assert set(about_message.keys()) == {
        "Reporting-MTA", "Original-Envelope-Id", "X-Relay-Message-Id", "Arrival-Date",
    }  # fmt: skip
    assert set(about_recipient.keys()) <= {
        "Original-Recipient", "Final-Recipient", "Action", "Status", "Remote-MTA",
        "Diagnostic-Code",
    }  # fmt: skip
    assert about_recipient["Status"] == "5.0.0"
    assert len(data) < 10_000


@pytest.mark.parametrize(
    ("orcpt", "field"),
    [
        pytest.param("", None, id="not given"),
        pytest.param("b@d.example", None, id="without a type"),
        pytest.param("a b;b@d.example", None, id="a type that is no atom"),
        pytest.param("x400;+2Fs=b", "x400; /s=b", id="another type"),
        pytest.param("rfc822;+zz", "rfc822; +zz", id="no xtext"),
        pytest.param("rfc822;a+0D+0Ab", r"rfc822; a\r\nb", id="a hidden line end"),
    ],
)
def test_the_original_recipient_is_decoded(orcpt: str, field: str | None) -> None:
    recipient = Reported("b@d.example", Action.FAILED, "5.1.1", orcpt=orcpt)
    assert groups(dsn(report(CONTENT, recipient)))[1]["Original-Recipient"] == field


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param(b"MESSAGE-ID: <a@b>\r\n", "<a@b>", id="any case"),
        pytest.param(b"Subject: x\r\nMessage-Id:<a@b>\r\n", "<a@b>", id="no blank"),
        pytest.param(b"X-Message-ID: <a@b>\r\n", None, id="another field"),
        pytest.param(b"Message-ID: <a b>\r\n", None, id="no message id"),
        pytest.param(b"Message-ID: <" + b"a" * 900 + b">\r\n", None, id="far too long"),
        pytest.param(b"Subject: x\r\n\r\nMessage-ID: <a@b>\r\n", None, id="in the body"),
    ],
)
def test_a_reply_points_to_the_original_where_it_has_an_id(
    header: bytes, found: str | None
) -> None:
    message, _ = parsed(dsn(report(header + b"\r\nbody\r\n")))
    assert message["In-Reply-To"] == message["References"] == found


texts = st.text(max_size=2000)


@given(
    recipients=st.lists(
        st.builds(
            Reported, address=texts, action=st.sampled_from(Action), status=texts, orcpt=texts,
            host=texts, diagnostic=texts, attempted_ms=st.integers(0, 2**41),
        ),
        min_size=1, max_size=3,
    ),
    content=st.binary(max_size=3000) | texts.map(lambda t: t.encode("utf-8", "replace")),
    ret=st.sampled_from(["", "FULL", "HDRS"]),
    sender=texts,
    envid=texts,
    missing=st.integers(0, 1),
)  # fmt: skip
def test_whatever_is_said_the_report_is_well_formed(
    recipients: list[Reported], content: bytes, ret: str, sender: str, envid: str, missing: int
) -> None:
    data = dsn(
        report(
            content, *recipients, ret=ret, sender=sender, envid=envid, size=len(content) + missing
        )
    )
    assert data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n")
    assert max(len(line) for line in data.split(b"\r\n")) <= 998
    boundary = b"\r\n--=_relay_"
    assert data.count(boundary) - content.count(boundary) == 4
