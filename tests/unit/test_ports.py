"""Ports of tests' servers: whoever runs beside takes none of them."""

from __future__ import annotations

import subprocess
import sys
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
