"""A worker that cannot start says why in a line, and ends with the exit code of every command."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.ports import free_port
from tests.support.valkey import STORE_OPTIONS, ValkeyServer


def start(store: str, broker: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "RELAY_STORE__URL": store,
        "RELAY_BROKER__URL": broker,
        "RELAY_METRICS__ENABLED": "false",
    }
    command = [sys.executable, "-m", "relay.cli", "worker"]
    environment = os.environ | settings
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of the log that are critical; a traceback would be one of them, and long."""
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if '"critical"' in line]


def test_without_its_store_it_ends_with_3(broker_url: str) -> None:
    done = start(f"redis://127.0.0.1:{free_port()}/0", broker_url)
    assert done.returncode == 3
    [line] = told(done)
    assert "store.url: the store cannot be reached" in line
    assert "Traceback" not in line


def test_with_a_store_that_may_lose_messages_it_ends_with_2(broker_url: str) -> None:
    server = ValkeyServer(**(STORE_OPTIONS | {"appendfsync": "everysec"})).start()
    try:
        done = start(server.url, broker_url)
    finally:
        server.remove()
    assert done.returncode == 2
    [line] = told(done)
    assert "store.durability" in line
    assert "appendfsync always" in line
