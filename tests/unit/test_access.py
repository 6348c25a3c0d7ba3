from ipaddress import ip_network

import pytest

from relay.ingress.access import LOOPBACK, Gate, Limits, client_address, is_allowed
from relay.ingress.pace import Pace
from relay.mail import answers
from relay.mail.reply import Reply


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
    gate = Gate(Limits(connections=3, per_client=2))
    assert gate.enter("192.0.2.1", 0) is None
    assert gate.enter("192.0.2.1", 0) is None
    assert gate.enter("192.0.2.1", 0) is answers.TOO_MANY_FROM_ADDRESS
    assert gate.enter("192.0.2.2", 0) is None
    assert gate.enter("192.0.2.3", 0) is answers.TOO_MANY_CONNECTIONS
    gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.1", 0) is None


def test_addresses_of_one_slash_64_are_one_client() -> None:
    gate = Gate(Limits(per_client=1))
    assert gate.enter("2001:db8::1", 0) is None
    assert gate.enter("2001:db8::ffff", 0) is not None
    assert gate.enter("2001:db8:0:1::1", 0) is None


def came(gate: Gate, address: str, now: float, *, stranger: bool = False) -> Reply | None:
    refusal = gate.enter(address, now, stranger=stranger)
    if refusal is None:
        gate.leave(address)
    return refusal


def test_a_client_that_connects_too_often_is_turned_away_until_its_minute_is_over() -> None:
    gate = Gate(Limits(connection_rate=3))
    assert [came(gate, "192.0.2.1", 1) for _ in range(3)] == [None] * 3
    assert came(gate, "192.0.2.1", 1) is answers.CONNECTS_TOO_OFTEN
    assert came(gate, "192.0.2.2", 1) is None
    # Trying on does not make it longer.
    assert came(gate, "192.0.2.1", 20) is answers.CONNECTS_TOO_OFTEN
    assert came(gate, "192.0.2.1", 22) is None
    assert [came(gate, "192.0.2.1", 90) for _ in range(3)] == [None] * 3


def test_strangers_have_a_limit_of_their_own() -> None:
    gate = Gate(Limits(stranger_rate=1))
    assert came(gate, "192.0.2.1", 0, stranger=True) is None
    assert came(gate, "192.0.2.1", 0, stranger=True) is answers.CONNECTS_TOO_OFTEN
    assert [came(gate, "192.0.2.2", 0) for _ in range(1000)] == [None] * 1000


def test_errors_in_all_sessions_of_a_client_turn_it_away_for_a_minute_at_most() -> None:
    gate = Gate(Limits(error_rate=60))
    for _ in range(1000):
        gate.erred("192.0.2.1", 5)
    assert came(gate, "192.0.2.1", 5) is answers.ERRS_TOO_OFTEN
    assert came(gate, "192.0.2.2", 5) is None
    assert came(gate, "192.0.2.1", 7) is None


def test_messages_of_a_client_have_a_limit() -> None:
    gate = Gate(Limits(message_rate=2))
    for _ in range(2):
        assert gate.may_send("192.0.2.1", 0) is None
        gate.sent("192.0.2.1", 0)
    assert gate.may_send("192.0.2.1", 0) is answers.SENDS_TOO_OFTEN
    assert gate.may_send("192.0.2.1", 31) is None


def test_what_is_remembered_of_clients_is_bounded() -> None:
    pace = Pace(1, clients=100)
    for number in range(10_000):
        pace.note(f"192.0.2.{number}", 0)
    assert len(pace) == 100
    assert pace.over("192.0.2.9999", 0)
