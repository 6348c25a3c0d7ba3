import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail import answers
from relay.mail.control import LONGEST_KEY, take_key
from relay.mail.reply import Reply

FIELD = "X-Relay-Idempotency-Key"
BODY = b"\r\nX-Relay-Idempotency-Key: in the body\r\n"


@pytest.mark.parametrize(
    ("head", "key", "left"),
    [
        (b"X-Relay-Idempotency-Key: k-1\r\nSubject: x\r\n", "k-1", b"Subject: x\r\n"),
        (b"Subject: x\r\nx-relay-idempotency-key:k-1 \r\n", "k-1", b"Subject: x\r\n"),
        (b"A: b\r\nX-RELAY-Idempotency-Key: k\r\nC: d\r\n", "k", b"A: b\r\nC: d\r\n"),
        (b"Subject: X-Relay-Idempotency-Key: k\r\n", "", None),
        (b"X-Relay-Idempotency-Key2: k\r\n", "", None),
        (b"Subject: x\r\n X-Relay-Idempotency-Key: k\r\n", "", None),
        (b"", "", None),
    ],
)
def test_the_key_is_taken_out_of_the_header_section(
    head: bytes, key: str, left: bytes | None
) -> None:
    content = head + BODY
    expected = content if left is None else left + BODY
    assert take_key((content, b"more"), FIELD) == (key, (expected, b"more"))


@pytest.mark.parametrize(
    ("head", "refusal"),
    [
        (b"X-Relay-Idempotency-Key:\r\n", answers.BAD_KEY),
        (b"X-Relay-Idempotency-Key: a b\r\n", answers.BAD_KEY),
        (b"X-Relay-Idempotency-Key: a\r\n b\r\n", answers.BAD_KEY),
        (b"X-Relay-Idempotency-Key: \xc3\xa4\r\n", answers.BAD_KEY),
        (b"X-Relay-Idempotency-Key: " + b"k" * (LONGEST_KEY + 1) + b"\r\n", answers.BAD_KEY),
        (b"X-Relay-Idempotency-Key: k\r\nA: b\r\nX-Relay-Idempotency-Key: k\r\n", answers.TWO_KEYS),
    ],
)
def test_a_key_that_cannot_be_kept_is_refused(head: bytes, refusal: Reply) -> None:
    assert take_key((head + BODY,), FIELD) is refusal


def test_where_no_field_is_named_nothing_is_looked_for() -> None:
    content = (b"X-Relay-Idempotency-Key: k\r\n\r\n",)
    assert take_key(content, "") == ("", content)
    assert take_key((), FIELD) == ("", ())


PIECES = st.sampled_from(
    [b"X-Relay-Idempotency-Key: k", b"Subject: x", b"\r\n", b"\r\n", b" y", b":", b"a"]
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_nothing_else_is_changed(content: bytes) -> None:
    taken = take_key((content,), FIELD)
    if not isinstance(taken, Reply) and taken[0]:
        [left] = taken[1]
        assert len(content) - len(left) >= len("X-Relay-Idempotency-Key:k\r\n")
        assert take_key((left,), FIELD) == ("", (left,))
