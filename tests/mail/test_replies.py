from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.replies import MOST_LINE, MOST_LINES, MOST_OCTETS, MOST_TEXT, ReplyParser
from relay.mail.reply import Reply


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"250 2.1.0 Ok\r\n", Reply(250, "2.1.0", "Ok")),
        (b"250 Ok\r\n", Reply(250, "", "Ok")),
        (b"250\r\n", Reply(250)),
        (b"250 \r\n", Reply(250)),
        (
            b"354 End data with <CR><LF>.<CR><LF>\n",
            Reply(354, "", "End data with <CR><LF>.<CR><LF>"),
        ),
        (b"250-\r\n250 Ok\r\n", Reply(250, "", "Ok")),
        (b"250-Ok\r\n250\r\n", Reply(250, "", "Ok")),
        (
            b"550-5.1.1 The account does not exist. Try\r\n550-5.1.1 again.\r\n550 5.1.1 q8si1\r\n",
            Reply(550, "5.1.1", "The account does not exist. Try again. q8si1"),
        ),
        # The basic code decides: an enhanced status code of another class is only text.
        (b"450 5.7.1 odd\r\n", Reply(450, "", "5.7.1 odd")),
        (b"999 what\r\n", Reply(999, "", "what")),
        (b"550 5.1.1 \xc3\xa4 \xff\r\n", Reply(550, "5.1.1", "ä \ufffd")),
        (b"550 5.1.1 a\x1b[2Jb\x00c\rd\r\n", Reply(550, "5.1.1", "a?[2Jb?c?d")),
        (b"250 2.0.0 " + b"x" * 2_000 + b"\r\n", Reply(250, "2.0.0", "x" * 2_000)),
    ],
)
def test_a_reply_is_read(octets: bytes, reply: Reply) -> None:
    parser = ReplyParser()
    [read] = parser.feed(octets)
    assert read == reply
    assert not parser.partial


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"hello\r\n", id="words"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(b"25 ok\r\n", id="two digits"),
        pytest.param(b"2500 ok\r\n", id="four digits"),
        pytest.param("٢٥٠ ok\r\n".encode(), id="digits of another script"),
        pytest.param(b"250-a\r\n251 b\r\n", id="two codes in one reply"),
        pytest.param(b"250-a\r\nb\r\n", id="a line without code"),
        pytest.param(b"250 " + b"x" * MOST_LINE, id="an endless line"),
        pytest.param(b"250 " + b"x" * MOST_LINE + b"\r\n", id="a long line"),
        pytest.param(b"250-x\r\n" * (MOST_LINES + 1), id="endless lines"),
        pytest.param(
            (b"250-" + b"x" * 2_000 + b"\r\n") * (MOST_OCTETS // 2_000 + 1), id="too many octets"
        ),
    ],
)
def test_what_is_no_reply_is_a_fault_for_good(octets: bytes) -> None:
    parser = ReplyParser()
    assert parser.feed(b"250 first\r\n" + octets) == [Reply(250, "", "first")]
    assert parser.fault
    assert len(parser.fault) < 120
    assert parser.partial
    assert parser.feed(b"250 later\r\n") == []


def test_the_longest_reply_that_is_allowed_is_read_and_its_text_is_cut() -> None:
    parser = ReplyParser()
    octets = b"250-" + b"x" * 500 + b"\r\n"
    [reply] = parser.feed(octets * (MOST_LINES - 1) + b"250 end\r\n")
    assert len(reply.text) == MOST_TEXT


def test_half_a_reply_is_partial() -> None:
    parser = ReplyParser()
    assert not parser.partial
    for half in (b"2", b"50-a\r\n", b"250 b"):
        assert parser.feed(half) == []
        assert parser.partial
    assert parser.feed(b"\n") == [Reply(250, "", "a b")]
    assert not parser.partial


LINES = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
REPLIES = st.tuples(st.integers(200, 599), st.lists(LINES, min_size=1, max_size=4))


@given(st.lists(REPLIES, max_size=6), st.lists(st.integers(0, 400), max_size=12), st.booleans())
def test_it_does_not_matter_how_the_octets_were_cut(
    replies: list[tuple[int, list[str]]], cuts: list[int], bare: bool
) -> None:
    end = "\n" if bare else "\r\n"
    octets = "".join(
        "".join(f"{code}-{line}{end}" for line in lines[:-1]) + f"{code} {lines[-1]}{end}"
        for code, lines in replies
    ).encode()
    whole = ReplyParser().feed(octets)
    parser = ReplyParser()
    borders = [0, *sorted(cuts), len(octets)]
    read = []
    for start, stop in pairwise(borders):
        read += parser.feed(octets[start:stop])
    assert read == whole
    assert [reply.code for reply in read] == [code for code, _ in replies]
    assert not parser.partial


@given(st.lists(st.binary(max_size=200), max_size=40))
def test_nothing_that_a_host_sends_breaks_the_parser(data: list[bytes]) -> None:
    parser = ReplyParser()
    for octets in data:
        for reply in parser.feed(octets):
            assert 0 <= reply.code <= 999
            assert reply.text.isprintable()
            assert len(reply.text) <= MOST_TEXT
    assert parser.fault.isprintable()
