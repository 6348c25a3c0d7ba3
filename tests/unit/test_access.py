from ipaddress import ip_network

import pytest

from relay.ingress.access import LOOPBACK, Gate, client_address, is_allowed


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:DB8::1", 5, 0, 0), "2001:db8::1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::1"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_client_has_one_notation(peer: object, address: str) -> None:
    assert client_address(peer) == address


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("::1", True),
        (client_address(("::ffff:127.0.0.1", 5, 0, 0)), True),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("::2", False),
        ("::", False),
        ("0.0.0.0", False),
        (client_address(("::ffff:10.0.0.1", 5, 0, 0)), False),
        ("", False),
    ],
)
def test_only_loopback_may_submit_unless_said_otherwise(address: str, allowed: bool) -> None:
    assert is_allowed(address, LOOPBACK) is allowed


def test_a_list_of_networks_is_all_that_may_submit() -> None:
    networks = (ip_network("10.1.0.0/16"), ip_network("2001:db8::/32"))
    assert is_allowed("10.1.2.3", networks)
    assert is_allowed("2001:db8::5", networks)
    assert not is_allowed("127.0.0.1", networks)
    assert not is_allowed("10.1.2.3", ())


def test_the_gate_counts_in_all_and_by_client() -> None:
    gate = Gate(connections=3, per_address=2)
    assert gate.enter("192.0.2.1") is None
    assert gate.enter("192.0.2.1") is None
    refused = gate.enter("192.0.2.1")
    assert refused is not None
    assert refused.status == "4.7.0"
    assert gate.enter("192.0.2.2") is None
    refused = gate.enter("192.0.2.3")
    assert refused is not None
    assert refused.status == "4.3.2"
    gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.1") is None


def test_addresses_of_one_slash_64_are_one_client() -> None:
    gate = Gate(connections=9, per_address=1)
    assert gate.enter("2001:db8::1") is None
    assert gate.enter("2001:db8::ffff") is not None
    assert gate.enter("2001:db8:0:1::1") is None
