"""Ports of tests' servers: whoever runs beside takes none of them."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.ports import free_port, free_row
from tests.support.relay import ROOT

_GIVEN_BY_ITSELF = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_another_process_has_other_ports() -> None:
    said = "from tests.support.ports import free_port; print(*(free_port() for _ in range(150)))"
    done = subprocess.run([sys.executable, "-c", said], cwd=ROOT, capture_output=True, check=True)
    theirs = set(map(int, done.stdout.split()))
    ours = {free_port() for _ in range(150)}
    assert len(theirs) == len(ours) == 150
    assert not ours & theirs


@pytest.mark.skipif(not _GIVEN_BY_ITSELF.exists(), reason="not Linux")
def test_no_port_is_one_that_the_system_gives_by_itself() -> None:
    first = int(_GIVEN_BY_ITSELF.read_text().split()[0])
    assert free_row(3) + 2 < first


def test_where_all_are_in_use_there_are_more() -> None:
    with ExitStack() as held:
        for _ in range(250):
            server = held.enter_context(socket.socket())
            server.bind(("127.0.0.1", free_port()))
        row = free_row(3)
        for port in range(row, row + 3):
            held.enter_context(socket.socket()).bind(("127.0.0.1", port))


def test_more_than_a_block_do_not_follow_one_another() -> None:
    with pytest.raises(OSError, match="at most 200 ports"):
        free_row(201)
