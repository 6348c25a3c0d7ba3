import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.content import CHUNK, TRACE_ROOM, ContentReader
from relay.mail.transparency import DotStuffer
from tests.support.smuggling import VARIANTS, smuggling

PLENTY = 1 << 30


def read(octets: bytes, *, pieces: int = 0, limit: int = PLENTY) -> tuple[ContentReader, bytes]:
    """The reader at the end of data, and what it left; fed whole, or `pieces` octets at a time."""
    reader, at = ContentReader(limit), 0
    step = pieces or len(octets)
    while at < len(octets):
        piece = octets[at : at + step]
        end = reader.feed(piece)
        if end >= 0:
            return reader, octets[at + end :]
        at += step
    raise AssertionError("no end of data")


CASES = {
    "empty": (b".\r\n", b""),
    "one line": (b"a\r\n.\r\n", b"a\r\n"),
    "an empty line": (b"\r\n.\r\n", b"\r\n"),
    "a stuffed dot": (b"..\r\n.\r\n", b".\r\n"),
    "a dot that was not stuffed": (b".a\r\n.\r\n", b"a\r\n"),
    "stuffed dots in a row": (b"..\r\n..\r\n...\r\n.\r\n", b".\r\n.\r\n..\r\n"),
    "dots within lines": (b"a.\r\nb..c\r\n.\r\n", b"a.\r\nb..c\r\n"),
    "octets above 127": (b"\xff\xfe\r\n.\r\n", b"\xff\xfe\r\n"),
}


@pytest.mark.parametrize("pieces", [0, 1, 2, 3])
@pytest.mark.parametrize("case", CASES)
def test_content_ends_at_the_final_dot_and_loses_its_stuffing(case: str, pieces: int) -> None:
    sent, content = CASES[case]
    reader, rest = read(sent + b"NOOP\r\n", pieces=pieces)
    assert b"".join(reader.chunks()) == content
    assert reader.size == len(content)
    assert reader.refusal() is None
    assert rest == b"NOOP\r\n"


@pytest.mark.parametrize("pieces", [0, 1, 2, 7])
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_other_end_of_data_is_one(variant: str, pieces: int) -> None:
    octets = smuggling(VARIANTS[variant])
    reader, rest = read(octets + b"NOOP\r\n", pieces=pieces)
    assert rest == b"NOOP\r\n"
    refusal = reader.refusal()
    assert refusal is not None
    assert refusal.enhanced == ("5.6.0" if "NUL" in variant else "5.6.11")
    assert reader.kept == 0


@pytest.mark.parametrize(
    ("octets", "refused"),
    [(b"12345678\r\n.\r\n", False), (b"123456789\r\n.\r\n", True), (b"..2345678\r\n.\r\n", False)],
)
@pytest.mark.parametrize("pieces", [0, 1])
def test_the_size_is_counted_without_stuffed_dots(
    octets: bytes, refused: bool, pieces: int
) -> None:
    reader, _ = read(octets, pieces=pieces, limit=10)
    refusal = reader.refusal()
    assert (refusal is not None and refusal.code == 552) == refused


@pytest.mark.parametrize("pieces", [0, 1, 5])
def test_the_worst_fault_of_content_is_told_whatever_came_first(pieces: int) -> None:
    reader, _ = read(b"123456789\r\nbare\nLF\r\n.\r\n", pieces=pieces, limit=5)
    refusal = reader.refusal()
    assert refusal is not None
    assert refusal.enhanced == "5.6.11"


def test_large_content_is_kept_in_chunks_with_room_for_the_trace_header() -> None:
    content = b"x" * 78 + b"\r\n"
    content *= 3 * CHUNK // len(content)
    reader = ContentReader(PLENTY)
    for at in range(0, len(content), 65_536):
        assert reader.feed(content[at : at + 65_536]) == -1
    assert reader.feed(b".\r\n") == 3
    chunks = reader.chunks()
    assert b"".join(chunks) == content
    assert [len(chunk) for chunk in chunks[:-1]] == [CHUNK - TRACE_ROOM, CHUNK, CHUNK][
        : len(chunks) - 1
    ]


def test_content_beyond_its_limit_is_not_kept() -> None:
    reader = ContentReader(1000)
    for _ in range(100):
        reader.feed(b"x" * 1000)
        assert reader.kept <= 1000
    assert reader.size == 100_000


def test_content_dropped_for_want_of_memory_is_refused_for_now() -> None:
    reader = ContentReader(PLENTY)
    reader.feed(b"a\r\n")
    reader.drop()
    assert reader.kept == 0
    assert reader.feed(b"b\r\n.\r\n") == 6
    refusal = reader.refusal()
    assert refusal is not None
    assert (refusal.code, refusal.enhanced) == (452, "4.3.1")


LINES = st.lists(
    st.sampled_from([b"", b".", b"..", b".a", b"a.", b"abc", b"\xe9" * 5]), max_size=12
)


@given(LINES, st.lists(st.integers(1, 9), min_size=1), st.lists(st.integers(1, 9), min_size=1))
def test_what_is_stuffed_comes_back_whatever_the_pieces(
    lines: list[bytes], cuts_out: list[int], cuts_in: list[int]
) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    stuffer = DotStuffer()
    sent = b"".join(stuffer.feed(piece) for piece in cut(content, cuts_out)) + stuffer.end()
    reader, ends = ContentReader(PLENTY), []
    for piece in cut(sent, cuts_in):
        ends.append(reader.feed(piece))
    assert ends[:-1] == [-1] * (len(ends) - 1)
    assert ends[-1] > 0
    assert b"".join(reader.chunks()) == content


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n."]), max_size=20),
    st.lists(st.integers(1, 5), min_size=1),
)
def test_any_split_reads_the_same(parts: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(parts) + b"\r\n.\r\n"
    whole, rest = read(octets)
    split, at = ContentReader(PLENTY), 0
    for piece in cut(octets, cuts):
        end = split.feed(piece)
        if end >= 0:
            at += end
            break
        at += len(piece)
    assert octets[at:] == rest
    assert split.refusal() == whole.refusal()
    assert split.size == whole.size
    assert b"".join(split.chunks()) == b"".join(whole.chunks())


def cut(octets: bytes, lengths: list[int]) -> list[bytes]:
    """The octets in pieces of these lengths, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(octets):
        length = lengths[turn % len(lengths)]
        pieces.append(octets[at : at + length])
        at, turn = at + length, turn + 1
    return pieces
