"""The services of docker-compose.yml in the test's engine, with a sink instead of the world."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.compose.engine import Engine, files_limit

_SETTINGS = """
STORE_PASSWORD=0123456789abcdef
BROKER_PASSWORD=fedcba9876543210
HOSTNAME_OUTSIDE=relay.test
GRAFANA_PASSWORD=0123456789
STORE_MAXMEMORY=256mb
STORE_MEMORY=512m
"""
#: What it runs: takes every message, and keeps them all in one file.
_PROGRAM = """
import asyncio
async def serve(reader, writer):
    writer.write(b"220 sink\\r\\n")
    while line := await reader.readline():
        word = line[:4].upper()
        if word == b"DATA":
            writer.write(b"354 go on\\r\\n")
            with open("/tmp/taken", "ab") as taken:
                taken.write(await reader.readuntil(b"\\r\\n.\\r\\n"))
        writer.write(b"221 bye\\r\\n" if word == b"QUIT" else b"250 sink\\r\\n")
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", 2526, limit=1 << 20)
    await server.serve_forever()
asyncio.run(main())
"""
_DELIVERS = {
    "environment": {
        "RELAY_DELIVERY__ROUTES": "*=sink:2526",
        "RELAY_DELIVERY__PRIVATE_TARGETS": "172.31.25.0/24",
    },
    "ulimits": {"nofile": files_limit()},
}
#: Every domain is delivered to the service `sink`, over SMTP as everything is.
_SINK: dict[str, Any] = {
    "sink": {
        "image": "relay:local",
        "entrypoint": ["python", "-c", _PROGRAM],
        "networks": ["outside"],
        "init": True,
    },
    "worker": _DELIVERS,
    "smtp": _DELIVERS,
    "http": _DELIVERS,
}


class Stack:
    """`docker compose` with the checkout's file, and what became of its services."""

    def __init__(self, engine: Engine, checkout: Path) -> None:
        self._engine = engine
        settings, sink = engine.place / "env", engine.place / "sink.yml"
        settings.write_text(_SETTINGS)
        sink.write_text(json.dumps({"services": _SINK}))
        self._base: list[str | Path] = [
            "compose", "--env-file", settings, "--project-directory", checkout,
            "--file", checkout / "docker-compose.yml", "--file", sink,
        ]  # fmt: skip

    def compose(self, *arguments: str) -> str:
        """What `docker compose ...` printed."""
        return self._engine.docker(*self._base, *arguments)

    def up(self, *arguments: str) -> None:
        """Start everything, and wait until all of it is well."""
        self.compose(
            "up", "--detach", "--wait", "--wait-timeout", "120", "--pull", "never",
            "--scale", "grafana=0", *arguments,
        )  # fmt: skip

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What the engine knows of a service's containers."""
        ids = self.compose("ps", "--all", "--quiet", service).split()
        found: list[dict[str, Any]] = json.loads(self._engine.docker("inspect", *ids))
        return found

    def until(self, happened: Callable[[], object], what: str, patience: float = 60.0) -> None:
        """Wait for something, and show the logs where it does not come."""
        deadline = time.monotonic() + patience
        while not happened():
            assert time.monotonic() < deadline, f"{what}\n{self.compose('logs', '--tail', '40')}"
            time.sleep(0.25)

    def get(self, url: str) -> str:
        """What a published port answers."""
        return self._engine.inside("curl", "--silent", "--fail", "--max-time", "5", url)
