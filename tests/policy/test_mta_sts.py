"""What a TXT record and a policy file say, and what they fail to say (RFC 8461)."""

from __future__ import annotations

import pytest

from relay.policy.mta_sts import LONGEST_AGE, MOST_PATTERNS, policy_id, read_policy

GOOD = "version: STSv1\nmode: enforce\nmx: mx.test\nmax_age: 3600\n"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["v=STSv1; id=20260101;"], "20260101"),
        (["v=STSv1;id=a"], "a"),
        (["v=STSv1 ; x=y; id=a1 "], "a1"),
        (["v=spf1 -all", "v=STSv1; id=1"], "1"),
        ([], ""),
        (["v=STSv1; id=1", "v=STSv1; id=2"], ""),
        (["v=STSv1;"], ""),
        (["v=STSv1; id=a-b"], ""),
        (["v=STSv1; id=" + "a" * 33], ""),
        (["v=STSv2; id=1"], ""),
        (["v=STSv11; id=1"], ""),
        (["x v=STSv1; id=1"], ""),
    ],
)
def test_one_record_names_the_policy(texts: list[str], expected: str) -> None:
    assert policy_id(texts) == expected


def test_a_policy_is_read() -> None:
    policy = read_policy(
        b"version: STSv1\r\nmode: testing\r\nmx: MX.test\r\nmx: *.b.test\r\nmode: none\r\n"
        b"x-more: something: else\r\n\r\nmax_age: 99999999999\r\n".replace(b"999\r\n", b"9\r\n"),
        "7",
    )
    assert (policy.id, policy.mode, policy.mx) == ("7", "testing", ("mx.test", "*.b.test"))
    assert policy.max_age == LONGEST_AGE


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("mx.test", True),
        ("MX.test.", True),
        ("a.b.test", True),
        ("b.test", False),
        ("x.a.b.test", False),
        ("amx.test", False),
    ],
)
def test_a_star_stands_for_one_label(host: str, covered: bool) -> None:
    text = GOOD.replace("mx: mx.test", "mx: mx.test\nmx: *.b.test")
    assert read_policy(text.encode(), "1").covers(host) is covered


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("version: STSv1", "version: STSv2", "version"),
        ("version: STSv1\n", "", "version"),
        ("mode: enforce", "mode: maybe", "mode"),
        ("max_age: 3600", "max_age: -1", "max_age"),
        ("max_age: 3600\n", "", "max_age"),
        ("mx: mx.test\n", "", "names no host"),
        ("mx: mx.test\n", "mx: x.test\n" * (MOST_PATTERNS + 1), "more than"),
        ("mx: mx.test", "mx: *", "no name"),
        ("mx: mx.test", "mx: a.*.test", "no name"),
        ("mode: enforce", "<html>", "no field"),
    ],
)
def test_what_is_no_policy_is_told(before: str, after: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_policy(GOOD.replace(before, after).encode(), "1")


def test_a_policy_of_none_needs_no_hosts() -> None:
    text = GOOD.replace("mx: mx.test\n", "").replace("enforce", "none")
    assert read_policy(text.encode(), "1").mx == ()
