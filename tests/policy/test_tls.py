"""How much TLS a host needs, by what is published and what the settings and the message say."""

from __future__ import annotations

import pytest

from relay.policy.mta_sts import StsPolicy
from relay.policy.needs import Need
from relay.policy.tls import (
    NOTHING,
    HostRecords,
    Published,
    Requirement,
    Tlsa,
    TlsMode,
    TlsPolicies,
    TlsPolicy,
    described,
    has_name,
    is_authentic,
    key_of,
    of_host,
    policy_of,
)

MAY = TlsPolicy(TlsMode.OPPORTUNISTIC)
RECORD = Tlsa(3, 1, 1, b"x" * 32)
STRANGE = Tlsa(1, 0, 1, b"x" * 32)


def sts(mode: str = "enforce", *mx: str) -> StsPolicy:
    return StsPolicy("1", mode, mx or ("mx.test",), 3600)


def level(needs: Requirement | str) -> str:
    return needs if isinstance(needs, str) else f"{needs.mode.value} by {needs.by}"


@pytest.mark.parametrize(
    ("published", "records", "expected"),
    [
        pytest.param(NOTHING, None, "opportunistic by settings", id="nothing"),
        pytest.param(Published(sts=sts()), None, "verified by mta-sts", id="a policy"),
        pytest.param(
            Published(sts=sts("testing", "x.test")), None, "opportunistic by settings", id="a test"
        ),
        pytest.param(Published(sts=sts("none")), None, "opportunistic by settings", id="none"),
        pytest.param(
            Published(sts=sts("enforce", "x.test")),
            None,
            "mx.test is not among the hosts of its MTA-STS policy",
            id="another host",
        ),
        pytest.param(
            Published(True, sts("enforce", "x.test")),
            HostRecords((RECORD,)),
            "dane by dane",
            id="records win",
        ),
        pytest.param(
            Published(True), HostRecords((RECORD, STRANGE)), "dane by dane", id="some usable"
        ),
        pytest.param(Published(True), HostRecords((STRANGE,)), "encrypted by dane", id="unusable"),
        pytest.param(
            Published(True, sts()), HostRecords((STRANGE,)), "verified by mta-sts", id="both"
        ),
        pytest.param(Published(True), HostRecords(), "opportunistic by settings", id="no records"),
        pytest.param(
            Published(True),
            HostRecords(failure="SERVFAIL"),
            "the TLSA records of mx.test could not be looked up: SERVFAIL",
            id="a failure",
        ),
    ],
)
def test_dane_wins_over_mta_sts_and_that_over_the_settings(
    published: Published, records: HostRecords | None, expected: str
) -> None:
    assert level(of_host("mx.test", Need.USUAL, MAY, published, records)) == expected


@pytest.mark.parametrize(
    ("need", "policy", "published", "expected"),
    [
        pytest.param(Need.OPTIONAL, "verified", Published(sts=sts()), "opportunistic by message"),
        pytest.param(Need.OPTIONAL, "none", NOTHING, "none by message"),
        pytest.param(Need.RETURNED, "may", NOTHING, "encrypted by message"),
        pytest.param(Need.RETURNED, "none", NOTHING, "encrypted by message"),
        pytest.param(Need.RETURNED, "verify", NOTHING, "verified by settings"),
        pytest.param(Need.RETURNED, "may", Published(sts=sts()), "verified by mta-sts"),
        pytest.param(Need.REQUIRED, "may", Published(signed=True), "verified by message"),
        pytest.param(Need.REQUIRED, "may", Published(sts=sts()), "verified by mta-sts"),
        pytest.param(Need.REQUIRED, "may", Published(sts=sts("testing")), "verified by message"),
        pytest.param(Need.REQUIRED, "verify match=mx.test", NOTHING, "verified by settings"),
        pytest.param(
            Need.REQUIRED,
            "may",
            Published(sts=sts("testing", "x.test")),
            "mx.test is not among the hosts of its MTA-STS policy",
        ),
    ],
)
def test_a_message_may_need_more_or_less_than_its_domain(
    need: Need, policy: str, published: Published, expected: str
) -> None:
    found = of_host("mx.test", need, policy_of(policy), published, None)
    assert level(found) == expected
    if isinstance(found, Requirement):
        assert found.requiretls == (need is Need.REQUIRED)


@pytest.mark.parametrize(
    ("published", "policy", "sure"),
    [
        (NOTHING, "may", False),
        (NOTHING, "verify", False),
        (NOTHING, "verify match=mx.test", True),
        (Published(signed=True), "may", True),
        (Published(sts=sts()), "may", True),
        (Published(sts=sts("testing")), "may", True),
        (Published(sts=sts("none")), "may", False),
    ],
)
def test_whose_the_hosts_are_is_said_by_dnssec_mta_sts_or_the_settings(
    published: Published, policy: str, sure: bool
) -> None:
    assert is_authentic(policy_of(policy), published) is sure


@pytest.mark.parametrize(
    ("text", "mode", "names"),
    [
        ("none", TlsMode.NONE, ()),
        ("may", TlsMode.OPPORTUNISTIC, ()),
        ("Encrypt", TlsMode.ENCRYPTED, ()),
        ("required", TlsMode.ENCRYPTED, ()),
        ("verify", TlsMode.VERIFIED, ()),
        ("secure", TlsMode.VERIFIED, ("a.test", ".a.test")),
        ("secure match=X.test:.y.test", TlsMode.VERIFIED, ("x.test", ".y.test")),
    ],
)
def test_levels_have_our_names_and_postfix_ones(
    text: str, mode: TlsMode, names: tuple[str, ...]
) -> None:
    assert policy_of(text, "a.test") == TlsPolicy(mode, names)


@pytest.mark.parametrize(
    "text", ["", "dane", "verify match=", "verify mx.test", "may match=mx.test", "verify match=a b"]
)
def test_what_is_no_level_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"level of TLS|match="):
        policy_of(text)


def test_a_domains_own_entry_wins_then_that_of_the_nearest_above() -> None:
    table = {"a.test": "none", "*.test": "encrypt", "*.b.test": "verify", "*": "may"}
    policies = TlsPolicies("secure", table)

    def found(domain: str) -> str:
        policy = policies.find(domain)
        return policy.mode.value if policy else ""

    assert found("a.test") == "none"
    assert found("c.test") == "encrypted"
    assert found("x.b.test") == "verified"
    assert found("b.test") == "encrypted"
    assert found("a.example") == "opportunistic"
    assert TlsPolicies("secure", {}).find("a.test") is None
    assert TlsPolicies("secure", {}).usual("a.test").names == ("a.test", ".a.test")


@pytest.mark.parametrize(
    ("certified", "wanted", "fits"),
    [
        ("mx.a.test", "mx.a.test", True),
        ("MX.a.test", "mx.a.test", True),
        ("*.a.test", "mx.a.test", True),
        ("*.a.test", "a.test", False),
        ("*.a.test", "x.mx.a.test", False),
        ("*.test", "test", False),
        ("*", "mx", False),
        ("mx.a.test", ".a.test", True),
        ("x.mx.a.test", ".a.test", True),
        ("*.a.test", ".a.test", True),
        ("*.mx.a.test", ".a.test", True),
        ("a.test", ".a.test", False),
        ("mxa.test", ".a.test", False),
        ("*.test", ".a.test", False),
    ],
)
def test_names_in_certificates_are_matched_label_by_label(
    certified: str, wanted: str, fits: bool
) -> None:
    assert has_name(certified, wanted) is fits


def test_paths_differ_by_what_any_of_their_hosts_needs() -> None:
    some = Requirement(TlsMode.VERIFIED)
    other = Requirement(TlsMode.VERIFIED, requiretls=True)
    assert key_of([("a", None), ("b", None)]) == ""
    assert key_of([("a", some), ("b", some)]) == key_of([("b", some), ("a", some)])
    assert len({key_of([("a", one)]) for one in (some, other, None)}) == 3


def test_what_a_host_needs_is_told_in_few_words() -> None:
    assert described(Requirement(TlsMode.ENCRYPTED)) == "required"
    assert described(Requirement(TlsMode.VERIFIED, "mta-sts")) == "verified, by mta-sts"
    assert described(Requirement(TlsMode.DANE, "dane", requiretls=True)) == "dane, with REQUIRETLS"
    assert described(Requirement(TlsMode.VERIFIED, names=("a", ".a"))) == "verified for a or .a"
