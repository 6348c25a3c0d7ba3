"""What a reply is about."""

import pytest

from relay.mail.reply import Reply, reply_of
from relay.policy.category import CATEGORIES, category
from relay.smtp import failures


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("550 5.1.1 no such user", "address"),
        ("550 5.1.10 null MX", "address"),
        ("452 4.2.2 mailbox full", "full"),
        ("552 5.2.2 over quota", "full"),
        ("550 5.2.1 disabled", "mailbox"),
        ("452 4.3.1 no disk", "system"),
        ("421 4.4.2 timeout", "network"),
        ("500 5.5.2 syntax", "protocol"),
        ("554 5.6.1 media not supported", "content"),
        ("550 5.7.1 listed", "policy"),
        ("550 no such user", "unspecified"),
        ("550 5.0.0 no", "unspecified"),
        ("450 4.9.9 no", "unspecified"),
        # A code of another class than the reply's was never taken for one.
        ("451 5.1.1 what", "unspecified"),
    ],
)
def test_the_subject_of_the_enhanced_status_code_says_what_a_reply_is_about(
    text: str, about: str
) -> None:
    code, _, said = text.partition(" ")
    assert category(reply_of(int(code), said)) == about


def test_no_reply_at_all_is_the_networks() -> None:
    assert category(failures.unreachable("refused").reply) == "network"
    assert category(failures.silent("dot", 600).reply) == "network"


def test_every_category_can_be_had_and_no_other() -> None:
    codes = [f"4.{subject}.{detail}" for subject in range(20) for detail in range(20)]
    assert {category(Reply(450, code)) for code in codes} == set(CATEGORIES)
