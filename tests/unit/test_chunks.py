"""BDAT: content whose size is told, so that nothing in it can end it (RFC 3030)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from relay.mail.extensions import ALL
from tests.support.smuggling import VARIANTS, smuggling
from tests.support.talk import OPTIONS, Talk

CHUNKED = structs.replace(OPTIONS, extensions=ALL)
ENVELOPE = b"MAIL FROM:<a@s.example>%b\r\nRCPT TO:<b@d.example>\r\n"
HEAD = b"Subject: x\r\n\r\n"


def bdat(*chunks: bytes) -> bytes:
    """The commands of some chunks, the last one marked."""
    last = len(chunks) - 1
    return b"".join(
        b"BDAT %d%b\r\n%b" % (len(chunk), b" LAST" if at == last else b"", chunk)
        for at, chunk in enumerate(chunks)
    )


def talk() -> Talk:
    begun = Talk(options=CHUNKED)
    begun.say(b"EHLO client.example\r\n")
    return begun


def test_chunks_are_one_content() -> None:
    client = talk()
    said = client.say(ENVELOPE % b"" + bdat(HEAD + b"a", b"", b"b\r", b"\nMAIL\r\n.\r\nc\r\n", b""))
    assert said == ["250 2.1.0", "250 2.1.5", *["250 2.0.0"] * 5]
    assert client.contents == [HEAD + b"ab\r\nMAIL\r\n.\r\nc\r\n"]
    assert client.say(ENVELOPE % b"" + b"DATA\r\n" + HEAD + b".\r\n")[-1] == "250 2.0.0"


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_nothing_can_be_smuggled_in_a_chunk(variant: bytes, cut: int) -> None:
    client = talk()
    content = smuggling(variant)
    said = client.say(ENVELOPE % b"" + bdat(content[:cut], content[cut:]) + b"NOOP\r\n")
    assert said == ["250 2.1.0", "250 2.1.5", "250 2.0.0", "550 5.6.11", "250 2.0.0"] or (
        b"\0" in variant and said[3] in ("550 5.6.0", "550 5.6.11")
    )
    assert client.messages == []


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_any_split_of_the_octets_gives_the_same(content: bytes, cuts: list[int]) -> None:
    whole, split = talk(), talk()
    octets = ENVELOPE % b" BODY=BINARYMIME" + bdat(HEAD + content) + b"NOOP\r\n"
    whole.say(octets)
    places = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    for start, end in pairwise(places):
        split.say(octets[start:end])
    assert whole.output == split.output
    assert whole.contents == split.contents == [HEAD + content]


@pytest.mark.parametrize(
    ("content", "binary", "eight_bit"),
    [
        (b"lines\r\n", False, True),
        (b"", False, True),
        (b"no line end", True, False),
        (b"bare\nLF\r\n", True, False),
        (b"bare\rCR\r\n", True, False),
        (b"a\0b\r\n", True, False),
    ],
)
def test_content_that_is_lines_all_the_same_needs_no_binarymime_of_the_next_host(
    content: bytes, binary: bool, eight_bit: bool
) -> None:
    client = talk()
    client.say(ENVELOPE % b" BODY=BINARYMIME" + bdat(HEAD + content))
    [message] = client.messages
    assert (message.envelope.binary, message.envelope.eight_bit) == (binary, eight_bit)


@pytest.mark.parametrize(
    ("before", "reply"),
    [
        (b"", "503 5.5.1"),
        (b"MAIL FROM:<a@s.example>\r\n", "554 5.5.1"),
        (b"MAIL FROM:<a@s.example>\r\nRCPT TO:<nobody@d.example>\r\n", "554 5.5.1"),
    ],
)
def test_chunks_that_may_not_come_are_passed_over_and_never_obeyed(
    before: bytes, reply: str
) -> None:
    client = talk()
    said = client.say(before + bdat(b"QUIT\r\nQUIT\r\n") + b"NOOP\r\n")
    assert said[-2:] == [reply, "250 2.0.0"]
    assert not client.closed


def test_between_chunks_nothing_else_of_a_transaction_comes() -> None:
    client = talk()
    client.say(ENVELOPE % b"" + b"BDAT 3\r\nabc")
    for command in (b"DATA", b"MAIL FROM:<a@s.example>", b"RCPT TO:<b@d.example>"):
        assert client.say(command + b"\r\n") == ["503 5.5.1"]
    assert client.say(b"RSET\r\n" + ENVELOPE % b"" + b"BDAT 2 LAST\r\n\r\n")[-1] == "250 2.0.0"
    assert client.contents == [b"\r\n"]


def test_binary_content_does_not_come_by_data() -> None:
    client = talk()
    said = client.say(ENVELOPE % b" BODY=BINARYMIME" + b"DATA\r\n")
    assert said[-1] == "503 5.5.1"
    said = client.say(b"DATA\r\nMAIL FROM:<evil@s.example>\r\n")
    assert said == ["503 5.5.1", "554 5.5.0"]
    assert client.closed


@pytest.mark.parametrize("line", [b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 1 MORE", b"BDAT 1LAST"])
def test_where_nobody_knows_how_much_comes_the_session_ends(line: bytes) -> None:
    client = talk()
    client.say(ENVELOPE % b"" + line + b"\r\nQUIT\r\n")
    assert client.closed
    assert not client.output.endswith(b"221 2.0.0 Bye\r\n")


def test_too_much_is_counted_and_refused_and_not_kept() -> None:
    client = talk()
    client.say(ENVELOPE % b"")
    for _ in range(20):
        assert client.say(b"BDAT 1000\r\n" + b"x" * 1000) == ["250 2.0.0"]
        assert client.receiver.kept <= 10_000
    assert client.say(b"BDAT 0 LAST\r\n") == ["552 5.3.4"]


def test_without_chunking_octets_behind_bdat_are_not_obeyed_either() -> None:
    client = Talk(options=structs.replace(OPTIONS, extensions=ALL - {"CHUNKING"}))
    client.say(b"EHLO x\r\n")
    assert client.say(ENVELOPE % b"" + bdat(b"QUIT\r\n"))[-1] == "502 5.5.1"
    assert not client.closed
