"""Relay as its users run it: `relay up`, every setting at its default but for where things are."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import redis

from relay.version import __version__
from tests.bench.figures import Figures
from tests.bench.systems.base import System

_SETTINGS = """\
[smtp]
listen = ["{submission[0]}:{submission[1]}"]
hostname = "relay.bench.test"

[delivery]
port = {smtp_port}
nameservers = ["127.0.0.1:{dns_port}"]
private_targets = ["127.0.0.0/8"]
{attempts}
[exporter]
listen = "127.0.0.1:9925"

[metrics]
listen = "127.0.0.1:9926"

[worker]
processes = {workers}
"""
_ENDPOINT = "http://127.0.0.1:{port}/metrics"
#: Counters of the roles by their names in figures.
_COUNTERS = {
    "relay_possible_doubles_total": "possible_doubles",
    "relay_leases_lost_total": "lost_leases",
    "relay_connections_opened_total": "connections",
}
_DEFERRED = 'relay_outcomes_total{outcome="deferred"'
_CONTENTS = "relay:{p00}:c:*"
_OPEN = "relay_attempts_open"
_NAMES = ("relay.cli smtp", "relay.cli exporter", "relay.cli up", "store.sock", "broker.sock")


class Relay(System):
    """This checkout."""

    name = "relay"
    #: Worker processes.
    workers = int(os.environ.get("RELAY_BENCH_WORKERS", "1"))
    #: Attempts at once in one of them, 0: as it comes.
    attempts = 0

    @property
    def version(self) -> str:
        """Of the package."""
        return __version__

    @property
    def durability(self) -> str:
        """As the running store is set."""
        with self.store() as store:
            found = store.config_get("append*")
        return f"append-only file {found['appendonly']}, appendfsync {found['appendfsync']}"

    def prepare(self) -> None:
        """The settings file."""
        values = {
            "submission": self.sandbox.submission,
            "smtp_port": self.sandbox.smtp_port,
            "dns_port": self.sandbox.dns_port,
            "workers": self.workers,
            "attempts": f"attempts = {self.attempts}\n" if self.attempts else "",
        }
        text = _SETTINGS.format(**values) + self.case.relay_settings
        (self.place / "relay.toml").write_text(text, encoding="utf-8")

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """`relay up`, without what the environment may say of settings."""
        arguments = ["up", "--config", str(self.place / "relay.toml"), "--data", str(self.data)]
        env = {k: v for k, v in os.environ.items() if not k.startswith("RELAY_")}
        return (sys.executable, "-m", "relay.cli", *arguments), env

    def process_name(self, command: str) -> str:
        """The role."""
        for part in _NAMES:
            if part in command:
                return part.rpartition(" ")[2].removesuffix(".sock")
        return "worker" if "celery" in command else "other"

    def counters(self) -> Figures:
        """Summed over smtp and the workers; None where a role does not serve its metrics."""
        sums: dict[str, float] = dict.fromkeys(_COUNTERS.values(), 0.0)
        try:
            for name, value in self._metrics():
                if name in _COUNTERS:
                    sums[_COUNTERS[name]] += value
        except OSError:
            return dict.fromkeys(sums) | {"tasks": self._tasks()}
        return {name: round(value) for name, value in sums.items()} | {"tasks": self._tasks()}

    def deferred(self) -> int:
        """As the workers count outcomes."""
        return round(sum(value for name, value in self._metrics() if _DEFERRED in name))

    def open_attempts(self) -> int:
        """Deliveries that the workers have leased now."""
        return round(sum(value for name, value in self._metrics() if name == _OPEN))

    def _answers(self) -> bool:
        """Whether it takes messages, and every worker waits for wake-ups, as `relay up` has it."""
        if not super()._answers():
            return False
        with redis.Redis(unix_socket_path=str(self.data / "broker.sock")) as broker:
            waiting = [one for one in broker.client_list() if one["cmd"] == "brpop"]
        return len(waiting) >= self.workers

    def _metrics(self) -> Iterator[tuple[str, float]]:
        """Each sample of smtp and the workers, by its name with its labels. Raises OSError."""
        for port in range(9926, 9927 + self.workers):
            with urllib.request.urlopen(_ENDPOINT.format(port=port), timeout=5) as answer:
                text = answer.read().decode()
            for line in text.splitlines():
                name, _, value = line.rpartition(" ")
                if name and not name.startswith("#"):
                    yield name, float(value)

    def _tasks(self) -> int:
        """Celery tasks published so far, each of which is one LPUSH."""
        with redis.Redis(unix_socket_path=str(self.data / "broker.sock")) as broker:
            return int(broker.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0))

    def stored(self) -> int:
        """The store's used_memory."""
        with self.store() as store:
            return int(store.info("memory")["used_memory"])

    def contents(self) -> int:
        """Contents that its store holds, in one piece or in several."""
        with self.store() as store:
            keys = store.scan_iter(_CONTENTS, count=1000)
            return len({key.split(b":")[3] for key in keys})

    def content_octets(self) -> int:
        """How long one of the contents in its store is."""
        with self.store() as store:
            key = next(iter(store.scan_iter(_CONTENTS, count=1000)), None)
            return int(store.strlen(key)) if key else 0

    def queued(self) -> int:
        """Deliveries that are not final yet."""
        with self.store() as store:
            return int(store.hlen("relay:{p00}:deliveries"))

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.place / "data"

    def store(self) -> redis.Redis:
        """A connection to its store."""
        return redis.Redis(unix_socket_path=str(self.data / "store.sock"))
