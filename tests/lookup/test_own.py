from __future__ import annotations

import socket

import pytest

from relay.lookup.own import is_own


def test_the_addresses_of_the_machine_are_own() -> None:
    assert is_own("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", 9))
        assert is_own(udp.getsockname()[0])


@pytest.mark.parametrize("address", ["8.8.8.8", "192.0.2.1", "2a00::1", "nonsense", "300.1.1.1"])
def test_all_others_are_not(address: str) -> None:
    assert not is_own(address)
