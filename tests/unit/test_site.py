from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.policy.endpoint import Endpoint
from relay.policy.names import is_name
from relay.policy.site import site_name, site_of_smart_host

GOOGLE = [
    "aspmx.l.google.com",
    "alt1.aspmx.l.google.com",
    "alt2.aspmx.l.google.com",
    "alt3.aspmx.l.google.com",
    "alt4.aspmx.l.google.com",
]
HOSTS = st.sets(st.from_regex(r"\A[a-z]{1,5}\.[a-z]{2,5}\Z"), min_size=1, max_size=6)


def test_a_single_host_gives_the_site_its_name() -> None:
    assert site_name(["MX.Example.com."]) == "mx.example.com"


def test_the_name_never_changes() -> None:
    """Names are stored: a change here starts every breaker and window of a running fleet anew."""
    assert site_name(GOOGLE) == "aspmx.l.google.com+4-0k4sy7c2j97spdqk"
    assert site_name(["mx2.example.net", "mx1.example.net"]) == "mx1.example.net+1-7e3bttmjfbrbrrch"


@given(hosts=HOSTS, data=st.data())
def test_order_case_final_dots_and_repetition_do_not_matter(
    hosts: set[str], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(sorted(hosts)))
    spelled = [host.upper() + "." for host in other]
    assert site_name(sorted(hosts)) == site_name(other) == site_name(spelled + other)


@given(one=HOSTS, other=HOSTS)
def test_another_set_has_another_name(one: set[str], other: set[str]) -> None:
    assert (site_name(one) == site_name(other)) == (one == other)


def test_no_other_set_is_called_like_a_host_or_a_smart_host() -> None:
    assert not is_name(site_name(GOOGLE))
    assert not is_name(site_of_smart_host(Endpoint("mx.example.com", 25)))
    assert ":" not in site_name(GOOGLE)


def test_a_smart_host_is_called_by_its_host_and_port() -> None:
    assert site_of_smart_host(Endpoint("smart.example", 587)) == "smart.example:587"
    assert site_of_smart_host(Endpoint("2001:db8::1", 25)) == "[2001:db8::1]:25"
