"""A real Prometheus (Debian's package) that scrapes processes, with the rules of the repository."""

from __future__ import annotations

import json
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_port
from tests.support.programs import program
from tests.support.relay import ROOT
from tests.support.source import eventually

#: The environment that all targets are labelled with.
ENVIRONMENT = "test"
_RULES = ROOT / "deploy" / "prometheus"


class QueryFailed(Exception):
    """Prometheus says that a query is wrong."""


class Prometheus:
    """Use as a context. `targets` are ports by role."""

    def __init__(self, targets: Mapping[str, list[int]], interval: str = "1s") -> None:
        self._targets = targets
        self._interval = interval
        self.port = free_port()

    def __enter__(self) -> Self:
        binary = program("prometheus")
        self._home = tempfile.TemporaryDirectory(prefix="relay-prometheus-")
        home = Path(self._home.name)
        for name in ("rules.yml", "alerts.yml"):
            text = (_RULES / name).read_text(encoding="utf-8")
            for usual in ("interval: 30s", "interval: 1m"):
                text = text.replace(usual, f"interval: {self._interval}")
            (home / name).write_text(text, encoding="utf-8")
        (home / "prometheus.yml").write_text(json.dumps(self._configuration()), encoding="utf-8")
        self._log = (home / "log").open("wb")
        self.process = subprocess.Popen(
            [
                binary,
                f"--config.file={home / 'prometheus.yml'}",
                f"--storage.tsdb.path={home / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--enable-feature=exemplar-storage",
                "--log.level=warn",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        try:
            eventually(self._ready, lambda: (home / "log").read_text())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it and remove its data."""
        self.process.kill()
        self.process.wait(30)
        self._log.close()
        self._home.cleanup()

    def ask(self, path: str, **fields: str | float) -> Any:
        """The data of an answer of the HTTP API. Raises QueryFailed."""
        asked = urllib.parse.urlencode(fields)
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{asked}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            with refused:
                raise QueryFailed(refused.read().decode()) from None

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def _configuration(self) -> dict[str, Any]:
        jobs = [
            {
                "job_name": f"relay-{role}",
                "static_configs": [
                    {
                        "targets": [f"127.0.0.1:{port}" for port in ports],
                        "labels": {"environment": ENVIRONMENT, "role": role},
                    }
                ],
            }
            for role, ports in self._targets.items()
        ]
        paces = {"scrape_interval": self._interval, "evaluation_interval": self._interval}
        return {
            "global": paces,
            "rule_files": ["rules.yml", "alerts.yml"],
            "scrape_configs": jobs,
        }
