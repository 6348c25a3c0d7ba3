"""The header section: whom From names, and what is fixed at submission."""

from __future__ import annotations

import time

import pytest

from relay.mail.header import authors, fields, fixed, section_end


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("ann@s.example", ["ann@s.example"]),
        ("Ann <ann@S.example>", ["ann@s.example"]),
        ('"Ann, of S" <ann@s.example>', ["ann@s.example"]),
        ('"evil@other.example" <ann@s.example>', ["ann@s.example"]),
        ("=?utf-8?q?=C3=84nn?= <ann@s.example>", ["ann@s.example"]),
        ("Änn <ann@s.example>", ["ann@s.example"]),
        ("Ann\r\n Long <ann@s.example>", ["ann@s.example"]),
        ("Ann <ann@s.example>, bob@t.example", ["ann@s.example", "bob@t.example"]),
        ("ann@s.example (Ann)", ["ann@s.example"]),
        ('"a b"@s.example', ['"a b"@s.example']),
        ('Ann <"a b"@s.example>', ['"a b"@s.example']),
        ("ann@bücher.example", ["ann@xn--bcher-kva.example"]),
        ("", None),
        ("ann", None),
        ("ann@s.example bob@t.example", None),
        ("ann@s.example <bob@t.example>", None),
        ("<ann@s.example> <bob@t.example>", None),
        ("Ann <ann@s.example> x", None),
        ("Ann <ann@s.example", None),
        ('"Ann <ann@s.example>', None),
        ("friends: ann@s.example, bob@t.example;", None),
        ("(a (b) <evil@t.example>) ann@s.example", None),
        ("(<evil@t.example>) ann@s.example", None),
        ("ann@s.example,", None),
        ("<@r.example:ann@s.example>", ["ann@s.example"]),
        ("Ann <>", None),
        ("a@b@s.example", None),
        ("ann@s.example\t\x0b", None),
    ],
    ids=repr,
)
def test_from_names_somebody_or_nobody_and_never_perhaps(
    value: str, addresses: list[str] | None
) -> None:
    assert authors(f"Subject: x\r\nFrom: {value}\r\nTo: b@d.example\r\n".encode()) == addresses


@pytest.mark.parametrize(
    "section",
    [
        b"Subject: x\r\n",
        b"From: a@s.example\r\nFrom: b@t.example\r\n",
        b"From: a@s.example\r\nfrom : b@t.example\r\n",
        b"From: a@s.example\r\nno field\r\nFrom: b@t.example\r\n",
        b"From\xc3\xa4: a@s.example\r\n",
        b" From: a@s.example\r\n",
        b"From: \xff <a@s.example>\r\n",
        b"From: " + b"a@s.example," * 2000 + b"a@s.example\r\n",
    ],
)
def test_a_section_that_two_readers_may_read_differently_names_nobody(section: bytes) -> None:
    assert authors(section) is None


def test_a_field_begins_and_ends_where_every_reader_says() -> None:
    section = b"A: 1\r\nb : 2\r\n\t3\r\n  \r\nC:\r\n"
    assert [(name, section[start:end]) for name, start, end in fields(section) or ()] == [
        (b"a", b"A: 1\r\n"),
        (b"b", b"b : 2\r\n\t3\r\n  \r\n"),
        (b"c", b"C:\r\n"),
    ]
    assert fields(b"") is not None
    assert fields(b"A: 1") is None


@pytest.mark.parametrize(
    ("content", "end"),
    [(b"", 0), (b"\r\nx", 0), (b"A: 1\r\n\r\nx", 6), (b"A: 1\r\n", 6), (b"A: 1\r\nx", 7)],
)
def test_the_section_ends_before_the_empty_line(content: bytes, end: int) -> None:
    assert section_end(content) == end


def test_what_is_missing_is_added_and_what_is_blind_goes() -> None:
    content = (
        b"From: a@s.example\r\nBcc: secret@d.example,\r\n other@d.example\r\n"
        b"Subject: x\r\nReturn-Path: <x@s.example>\r\nresent-BCC: y@d.example\r\n\r\nBcc: kept\r\n"
    )
    assert fixed(content, b"today", b"id@relay.example") == (
        b"Date: today\r\nMessage-ID: <id@relay.example>\r\n",
        b"From: a@s.example\r\nSubject: x\r\n\r\nBcc: kept\r\n",
    )


def test_what_is_there_is_left_to_the_octet() -> None:
    content = "date: then\r\nMESSAGE-ID : <own>\r\nX-Odd:  \tä\r\n\r\n.body\r\n".encode()
    assert fixed(content, b"today", b"id@relay.example") == (b"", content)
    assert fixed(b"no header at all\r\n", b"d", b"i") is None
    assert fixed(b"\r\nbody", b"d", b"i") == (b"Date: d\r\nMessage-ID: <i>\r\n", b"\r\nbody")


def test_hostile_headers_take_no_time() -> None:
    began = time.process_time()
    for value in (b'"' * 9000, b"(" * 9000, b"<" * 9000, b'"\\' * 4500, b"a " * 4500, b"a," * 4500):
        assert authors(b"From: " + value + b"\r\n") is None
    assert fields(b"A:" + b"\r\n " * 40_000) is None
    assert time.process_time() - began < 1
