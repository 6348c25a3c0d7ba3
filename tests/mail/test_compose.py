"""Content made of fields: what the standard library's parser reads is what was given."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail.compose import Composed, Limits, Maker, compose
from relay.mail.message import Attachment, Message

MADE = Maker("1m8c8p5bk00qeaefe096", "Thu, 26 Nov 2026 15:00:00 +0000", Limits())
#: What a person may write in a header field or a name.
LINE = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co", "Zl", "Zp", "Cf"]), max_size=120
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3000)


def made(message: Message) -> Composed:
    found = compose(message, MADE)
    assert isinstance(found, Composed), found
    return found


def parsed(message: Message) -> EmailMessage:
    content = made(message).content
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content), "a bare CR or LF"
    assert max(map(len, content.split(b"\r\n"))) <= 998
    found = message_from_bytes(content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def simple(**fields: object) -> Message:
    given = {"from_": "ann@example.com", "to": "bob@example.net", "text": "Hello."} | fields
    return Message(**given)  # type: ignore[arg-type]


def problems(message: Message) -> list[str]:
    found = compose(message, MADE)
    assert isinstance(found, list), found
    return [problem.field for problem in found]


def test_a_plain_message_is_what_it_says() -> None:
    content = made(simple(from_="Ann <ann@example.com>", subject="Hi", text="Hello\nBob")).content
    assert content == (
        b"From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Hi\r\n"
        b"Date: Thu, 26 Nov 2026 15:00:00 +0000\r\n"
        b"Message-ID: <1m8c8p5bk00qeaefe096@example.com>\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n'
        b"Hello\r\nBob\r\n"
    )


@settings(max_examples=60)
@given(subject=LINE, name=LINE, extra=LINE)
def test_header_fields_read_as_they_were_written(subject: str, name: str, extra: str) -> None:
    name = " ".join(name.replace('"', "").replace("<", "").replace(">", "").split())
    found = parsed(
        simple(from_=f'"{name.replace(chr(92), "")}" <ann@example.com>' if name else "a@b.example",
               subject=subject, headers={"X-Extra": extra})
    )  # fmt: skip
    assert " ".join(found["Subject"].split()) == " ".join(subject.split())
    assert " ".join(found["X-Extra"].split()) == " ".join(extra.split())
    [author] = found["From"].addresses
    assert author.display_name.split() == name.replace("\\", "").split()


@settings(max_examples=60)
@given(text=TEXT, html=TEXT)
def test_bodies_read_as_they_were_written(text: str, html: str) -> None:
    found = parsed(simple(text=text, html="<p>" + html))

    def lines(body: str) -> str:
        return re.sub(r"\r\n|\r|\n", "\n", body).removesuffix("\n")

    plain, rich = found.get_body(("plain",)), found.get_body(("html",))
    assert rich is not None
    assert lines(rich.get_content()) == lines("<p>" + html)
    assert lines(plain.get_content() if plain else "") == lines(text)


def test_all_that_is_made_is_seven_bit() -> None:
    message = simple(subject="Grüße", text="Grüße", html="<p>日本語" * 200,
                     from_="Jürgen Groß <j@example.com>")  # fmt: skip
    assert made(message).content.isascii()
    assert not made(message).envelope.eight_bit
    assert not made(message).envelope.smtputf8


def test_files_and_pictures_go_where_mail_readers_look_for_them() -> None:
    picture = Attachment(
        content=b"\x89PNG", filename="l.png", content_type="image/png", content_id="logo"
    )
    file = Attachment(content=bytes(range(256)), filename="Übersicht, März.pdf",
                      content_type="application/pdf")  # fmt: skip
    found = parsed(simple(html='<img src="cid:logo">', attachments=(picture, file)))
    assert found.get_content_type() == "multipart/mixed"
    body, attached = found.iter_parts()
    assert attached.get_filename() == "Übersicht, März.pdf"
    assert attached.get_content() == bytes(range(256))
    assert attached.get_content_disposition() == "attachment"
    assert body.get_content_type() == "multipart/alternative"
    related = list(body.iter_parts())[1]
    assert related.get_content_type() == "multipart/related"
    assert related["Content-Type"].params["type"] == "text/html"
    shown = list(related.iter_parts())[1]
    assert (shown["Content-ID"], shown.get_content_disposition()) == ("<logo>", "inline")


def test_a_blind_copy_stands_nowhere_in_the_content() -> None:
    found = made(simple(cc=["Cy <cy@example.net>"], bcc=["dee@example.net"]))
    assert [to.address for to in found.envelope.recipients] == [
        "bob@example.net",
        "cy@example.net",
        "dee@example.net",
    ]
    assert b"dee" not in found.content
    only = made(simple(to=(), bcc="dee@example.net"))
    assert b"To: undisclosed-recipients:;\r\n" in only.content


def test_an_address_beyond_ascii_asks_for_smtputf8() -> None:
    found = made(simple(to="Jörg <jörg@müller.example>"))
    assert found.envelope.smtputf8
    assert found.envelope.recipients[0].address == "jörg@xn--mller-kva.example"
    assert "To: Jörg <jörg@xn--mller-kva.example>".encode() in found.content


@pytest.mark.parametrize("bad", ["\r", "\n", "\r\n", "\0", "\x0b", "\x1b", "\x85", "\u2028"])
@pytest.mark.parametrize(
    "place", ["from_", "to", "cc", "bcc", "reply_to", "subject", "envelope_sender", "header",
              "header name", "filename", "content_type", "content_id", "tag", "metadata", "envid"]
)  # fmt: skip
def test_no_field_can_begin_another_one(place: str, bad: str) -> None:
    poison = f"a{bad}Bcc: eve@evil.example"
    address = f'"x{bad}y" <a@b.example>' if place in ("from_", "to", "cc") else f"a{bad}@b.example"
    file = Attachment(content=b"")
    by_place: dict[str, dict[str, object]] = {
        "header": {"headers": {"X-A": poison}},
        "header name": {"headers": {f"X{bad}-A": "1"}},
        "filename": {"attachments": (Attachment(content=b"", filename=poison),)},
        "content_type": {"attachments": (Attachment(content=b"", content_type=f"a/b{bad}c"),)},
        "content_id": {"attachments": (file, Attachment(content=b"", content_id=f"a{bad}b"))},
        "tag": {"tags": (poison,)},
        "metadata": {"metadata": {"a": poison}},
        "envid": {"envid": poison},
        "subject": {"subject": poison},
    }
    assert problems(simple(**by_place.get(place, {place: address})))


def test_every_problem_is_told_at_once_by_its_field() -> None:
    wrong = Message(
        from_="nobody",
        to=("bob@example.net", "b@@c", ""),
        subject="a\nb",
        weight=0,
        notify=("never", "success"),
        headers={"Subject": "x"},
        tags=("t",) * 11,
    )
    assert problems(wrong) == [
        *("from", "to[1]", "to[2]", "weight", "notify", "tags", "text", "subject"),
        "headers.Subject",
    ]


def test_raw_content_stays_but_for_its_blind_copies_and_line_ends() -> None:
    raw = (
        b"From: ann@example.com\nTo: Bob <bob@example.net>,\n cy@example.net\n"
        b"Bcc: dee@example.net\nSubject: \xc3\xbc\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n"
        b"Message-ID: <a@b>\n\n.\nFrom x\xff\r"
    )
    found = made(Message(raw=raw))
    assert found.content == (
        b"From: ann@example.com\r\nTo: Bob <bob@example.net>,\r\n cy@example.net\r\n"
        b"Subject: \xc3\xbc\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <a@b>\r\n\r\n"
        b".\r\nFrom x\xff\r\n"
    )
    assert found.envelope.sender == "ann@example.com"
    assert [to.address for to in found.envelope.recipients] == [
        "bob@example.net", "cy@example.net", "dee@example.net"
    ]  # fmt: skip
    assert (found.envelope.eight_bit, found.envelope.smtputf8) == (True, True)


def test_raw_content_gets_the_fields_that_it_lacks() -> None:
    found = made(Message(raw=b"From: ann@example.com\r\n\r\nhi\r\n", to="bob@example.net"))
    assert found.content.startswith(
        b"Date: Thu, 26 Nov 2026 15:00:00 +0000\r\n"
        b"Message-ID: <1m8c8p5bk00qeaefe096@example.com>\r\n"
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"hello",
        b"\r\n\r\nhello\r\n",
        b"From: a@b.example\r\nno field\r\n\r\nx\r\n",
        b" From: a@b.example\r\n\r\nx\r\n",
        b"From: a@b.example\r\nFrom: c@d.example\r\n\r\nx\r\n",
        b"From: a@b.example\r\nSubject: a\0b\r\n\r\nx\r\n",
        b"Subject: no author\r\n\r\nx\r\n",
        b"From: a@b.example, c@d.example\r\n\r\nx\r\n",
    ],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    assert problems(Message(raw=raw, to="bob@example.net")) == ["raw"]


def test_raw_does_not_go_with_fields() -> None:
    raw = b"From: a@b.example\r\n\r\nx\r\n"
    assert problems(Message(raw=raw, to="b@c.example", subject="x", text="y")) == [
        "subject",
        "text",
    ]


def test_limits_hold() -> None:
    small = Maker(MADE.id, MADE.date, Limits(recipients=2, size=400))
    many = simple(to=tuple(f"u{n}@example.net" for n in range(3)))
    assert isinstance(compose(many, small), list)
    assert isinstance(compose(simple(text="x" * 400), small), list)
