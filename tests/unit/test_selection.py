"""Which deliveries an operator means: all that is said must apply, and nothing takes none."""

from __future__ import annotations

import pytest

from relay.policy.selection import Candidate, Selection

ONE = Candidate("m1", "a.example", "acme", 1000, ("invoice", "vip"))


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), False),
        (Selection(everything=True), True),
        (Selection(messages=frozenset({"m1", "m2"})), True),
        (Selection(messages=frozenset({"m2"})), False),
        (Selection(domains=frozenset({"a.example"})), True),
        (Selection(domains=frozenset({"example"})), False),
        (Selection(tenants=frozenset({"acme"})), True),
        (Selection(tenants=frozenset({""})), False),
        (Selection(tags=frozenset({"vip", "x"})), True),
        (Selection(tags=frozenset({"x"})), False),
        (Selection(before_ms=1001), True),
        (Selection(before_ms=1000), False),
        (Selection(since_ms=1000), True),
        (Selection(since_ms=1001), False),
        (Selection(domains=frozenset({"a.example"}), tenants=frozenset({"other"})), False),
        (Selection(everything=True, since_ms=1001), False),
    ],
    ids=str,
)
def test_a_delivery_is_taken_where_all_applies(selection: Selection, taken: bool) -> None:
    assert selection.takes(ONE) is taken


@pytest.mark.parametrize(
    ("selection", "whole"),
    [
        (Selection(domains=frozenset({"a.example"})), True),
        (Selection(tenants=frozenset({"acme"})), True),
        (Selection(domains=frozenset({"a.example"}), tenants=frozenset({"acme"})), False),
        (Selection(domains=frozenset({"a.example"}), before_ms=5), False),
        (Selection(domains=frozenset({"a.example"}), tags=frozenset({"vip"})), False),
        (Selection(everything=True), False),
    ],
    ids=str,
)
def test_a_domain_or_a_tenant_alone_is_meant_as_a_whole(selection: Selection, whole: bool) -> None:
    assert selection.is_whole is whole
