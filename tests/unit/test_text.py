import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.text import ascii_printable, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("550 5.1.1 who?", "550 5.1.1 who?", id="plain"),
        pytest.param("a\r\nb", r"a\r\nb", id="line end"),
        pytest.param("\x1b[31mred\x07", r"\x1b[31mred\x07", id="terminal control"),
        pytest.param("tab\tnul\0", r"tab\tnul\x00", id="tab and NUL"),
        pytest.param("\u202egnp.exe", r"\u202egnp.exe", id="direction changed"),
        pytest.param("next\u2028line\x85", r"next\u2028line\x85", id="Unicode line ends"),
        pytest.param("\udc80", r"\udc80", id="no character at all"),
        pytest.param("größe 郵便", "größe 郵便", id="letters of any script"),
    ],
)
def test_what_does_not_print_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_beyond_ascii_is_escaped_where_only_ascii_may_stand() -> None:
    assert ascii_printable("ü\r郵") == r"\xfc\r\u90f5"


@given(st.text(), st.integers(3, 50))
def test_shown_text_is_printable_and_bounded(text: str, most: int) -> None:
    assert len(printable(text, most)) <= most
    assert printable(text, most).isprintable()
    shown = ascii_printable(text, most)
    assert len(shown) <= most
    assert shown.isascii()
    assert shown.isprintable()
