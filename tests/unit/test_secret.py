"""Passwords that are made."""

from __future__ import annotations

from relay.identity.secret import new_password


def test_none_is_taken_for_an_option() -> None:
    """One in 64 would be, with `-` among the characters that it may begin with."""
    assert not any(new_password().startswith("-") for _ in range(2000))
