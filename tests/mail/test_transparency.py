from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.transparency import DotStuffer, stuffed


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"\r\n.\r\n.\r\n", b"\r\n..\r\n..\r\n.\r\n"),
        (b"..\r\n", b"...\r\n.\r\n"),
        (b"a.b\r\n", b"a.b\r\n.\r\n"),
    ],
)
def test_a_line_that_begins_with_a_dot_gets_another(content: bytes, sent: bytes) -> None:
    assert stuffed(content) == sent


PIECES = st.lists(st.lists(st.sampled_from([b"\r\n", b".", b"a"]), max_size=6).map(b"".join))


@given(PIECES, st.integers(1, 5))
def test_content_in_pieces_is_sent_as_in_one(pieces: list[bytes], length: int) -> None:
    content = b"".join(pieces)
    for cut in (pieces, [content[at : at + length] for at in range(0, len(content), length)]):
        stuffer = DotStuffer()
        sent = b"".join(map(stuffer.feed, cut)) + stuffer.end()
        assert sent == stuffed(content)


@given(PIECES)
def test_the_final_dot_is_the_only_line_with_a_dot_alone(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    lines = stuffed(content).split(b"\r\n")
    assert lines.index(b".") == len(lines) - 2
    unstuffed = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])
    assert unstuffed in (content, content + b"\r\n")
