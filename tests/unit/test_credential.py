"""What a credential may do."""

from __future__ import annotations

import pytest

from relay.cli import credential_arguments
from relay.mail.address import BadAddress
from relay.policy.credential import (
    SCOPES,
    canonical_name,
    canonical_sender,
    counts_as,
    is_tenant,
    is_within,
    may_send_as,
)


@pytest.mark.parametrize(
    ("senders", "address", "allowed"),
    [
        ((), "a@example.com", False),
        (("*",), "a@example.com", True),
        (("example.com",), "a@example.com", True),
        (("example.com",), "a@sub.example.com", False),
        (("example.com",), "a@notexample.com", False),
        (("example.com",), "a@example.com.evil.example", False),
        ((".example.com",), "a@example.com", True),
        ((".example.com",), "a@sub.example.com", True),
        ((".example.com",), "a@evilexample.com", False),
        (("ann@example.com",), "ann@example.com", True),
        (("ann@example.com",), "Ann@example.com", True),
        (("ann@example.com",), "bob@example.com", False),
        (("ann@example.com",), "ann@sub.example.com", False),
        (("example.com",), '"a@example.com"@evil.example', False),
        (("example.com",), "a@[192.0.2.1]", False),
        (("example.com",), "", True),
        ((), "", True),
    ],
)
def test_a_sender_is_covered_by_what_is_listed_and_by_nothing_like_it(
    senders: tuple[str, ...], address: str, allowed: bool
) -> None:
    assert may_send_as(senders, address) is allowed


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Example.COM", "example.com"),
        (".Example.com", ".example.com"),
        ("*.example.com", ".example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("Ann@Example.com", "Ann@example.com"),
        ("*", "*"),
    ],
)
def test_senders_are_kept_in_one_form(text: str, canonical: str) -> None:
    assert canonical_sender(text) == canonical


@pytest.mark.parametrize("text", ["", "a b", "a@", "@b.example", "exa\nmple.com", "<a@b.example>"])
def test_what_is_no_sender_is_refused(text: str) -> None:
    assert isinstance(canonical_sender(text), BadAddress)


def test_names_are_in_lower_case_and_safe_in_a_key() -> None:
    assert canonical_name("App@Example.com") == "app@example.com"
    bad = ("", "a b", "a{b", "a|b", "a:b", "a\nb", "ä", "-a", "x" * 128)
    assert [canonical_name(text) for text in bad] == [None] * len(bad)
    assert is_tenant("")
    assert is_tenant("Acme-1")
    assert not any(map(is_tenant, ("a|b", "a{b", "a b", "a:b", "ä", "x" * 65)))


def test_networks_are_looked_at_in_one_notation() -> None:
    assert is_within("192.0.2.7", ())
    assert is_within("192.0.2.7", ("192.0.2.0/24", "2001:db8::/32"))
    assert not is_within("192.0.3.7", ("192.0.2.0/24",))
    assert is_within("2001:db8::1", ("2001:db8::/32",))
    assert not is_within("", ("0.0.0.0/0", "::/0"))


def test_a_slash_64_of_ipv6_is_one_client() -> None:
    assert counts_as("192.0.2.7") == "192.0.2.7"
    assert counts_as("2001:db8:1:2:3::4") == counts_as("2001:db8:1:2::9") == "2001:db8:1:2::/64"


def test_the_command_line_offers_the_scopes_there_are() -> None:
    assert credential_arguments.SCOPES == SCOPES
