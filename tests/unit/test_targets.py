from __future__ import annotations

from ipaddress import ip_address

import pytest

from relay.policy.targets import networks, refusal

PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "128.0.0.1",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2a00:1450:4025:401::1a",
    "2607:f8b0:4023:c0b::1b",
    "2001:200::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
)

REFUSED = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "unspecified"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.0.1", "private"),
    ("100.64.0.1", "shared by a carrier (CGNAT)"),
    ("100.127.255.255", "shared by a carrier (CGNAT)"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("169.254.169.254", "link-local"),
    ("192.0.0.170", "reserved"),
    ("192.0.2.1", "documentation"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("192.88.99.1", "reserved"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::7f00:1", "reserved"),
    ("::8.8.8.8", "reserved"),
    ("100::1", "discard-only"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("2001:2::1", "benchmarking"),
    ("2001:20::1", "reserved"),
    ("4000::1", "reserved"),
    ("5f00::1", "reserved"),
    ("fc00::1", "private"),
    ("fd00:ec2::254", "private"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "private"),
    ("ff02::1", "multicast"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.0.0.1", "private"),
    ("::ffff:a9fe:a9fe", "link-local"),
    ("64:ff9b::10.0.0.1", "private, embedded"),
    ("64:ff9b::127.0.0.1", "loopback, embedded"),
    ("64:ff9b:1::8.8.8.8", "private"),
    ("2002:7f00:1::1", "loopback, embedded"),
    ("2002:a9fe:a9fe::1", "link-local, embedded"),
    ("2001:0:808:808:0:0:f5ff:fffe", "private, embedded"),
    ("2001:0:a00:1:0:0:f7f7:f7f7", "private, embedded"),
    ("2a00:1450::5efe:a00:1", "private, embedded"),
    ("2a00:1450::200:5efe:a00:1", "private, embedded"),
    ("", "no address"),
    ("mx.example.com", "no address"),
    ("127.1", "no address"),
    ("0177.0.0.1", "no address"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_connected_to(address: str) -> None:
    assert refusal(address) == ""


@pytest.mark.parametrize(("address", "why"), REFUSED)
def test_a_special_address_is_refused_and_the_reason_named(address: str, why: str) -> None:
    assert refusal(address) == why


@pytest.mark.parametrize("address", ["8.8.4.4", "::ffff:8.8.4.4", "64:ff9b::8.8.4.4"])
def test_an_own_address_is_refused_in_every_spelling(address: str) -> None:
    assert refusal(address, own={ip_address("8.8.4.4")}) == "own"


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "10.1.2.3", "fd00::1"])
def test_an_allowed_network_wins_over_every_reason(address: str) -> None:
    allowed = networks(["127.0.0.0/8", "10.1.2.3", "fd00::/8"])
    assert refusal(address, allowed=allowed, own={ip_address("127.0.0.1")}) == ""


@pytest.mark.parametrize("address", ["10.1.2.4", "64:ff9b::10.1.2.3", "2002:a01:203::1", "::1"])
def test_an_allowed_network_allows_nothing_beside_itself(address: str) -> None:
    assert refusal(address, allowed=networks(["10.1.2.3"])) != ""
