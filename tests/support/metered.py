"""A system whose every role shows its metrics, and a watcher that remembers what they showed."""

from __future__ import annotations

import threading
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.ports import free_port
from tests.support.relay import command
from tests.support.source import eventually
from tests.support.system import Process, System

#: Seconds between two scrapes.
_INTERVAL = 0.3

Labels = frozenset[tuple[str, str]]


class Metered(System):
    """Each process has an endpoint of its own: `ports` has them."""

    def __enter__(self) -> Self:
        self.ports: dict[Process, int] = {}
        return super().__enter__()

    def start_exporter(self) -> Process:
        """The role `exporter`."""
        return self._start("exporter", command("exporter"))

    def next_port(self, name: str) -> int:
        """Where a process that is about to start shows its metrics."""
        return free_port()

    def _start(self, name: str, arguments: list[str], **more: str) -> Process:
        port = self.next_port(name)
        listen = "RELAY_EXPORTER__LISTEN" if name == "exporter" else "RELAY_METRICS__LISTEN"
        own = {"RELAY_METRICS__ENABLED": "true", listen: f"127.0.0.1:{port}"}
        process = super()._start(name, arguments, **own, **more)
        self.ports[process] = port
        return process

    def scrape(self, process: Process) -> list[Metric]:
        """A process's metrics now; none where it gives no answer."""
        try:
            return list(text_string_to_metric_families(get(self.ports[process], "/metrics")))
        except OSError:
            return []

    def value(self, process: Process, name: str, **labels: str) -> float:
        """The sum of a process's series of that name with these labels; 0 without any."""
        wanted = labels.items()
        return sum(
            sample.value
            for family in self.scrape(process)
            for sample in family.samples
            if sample.name == name and wanted <= sample.labels.items()
        )

    def until_shows(self, process: Process, name: str, **labels: str) -> None:
        """Wait until a process shows more than 0."""
        eventually(lambda: self.value(process, name, **labels) > 0, f"{name} {labels}")


class Watcher:
    """Scrapes all processes in a thread. Use as a context.

    `most[series' name, labels]` is the highest value that any process ever showed.
    """

    def __init__(self, system: Metered) -> None:
        self.most: defaultdict[tuple[str, Labels], float] = defaultdict(float)
        self._system = system
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        self.look()

    def moved(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels among its own was ever above 0."""
        wanted = labels.items()
        return any(
            value > 0 and series == name and wanted <= dict(own).items()
            for (series, own), value in list(self.most.items())
        )

    def look(self) -> None:
        """Scrape once."""
        for process in list(self._system.ports):
            for family in self._system.scrape(process):
                for sample in family.samples:
                    series = sample.name, frozenset(sample.labels.items())
                    self.most[series] = max(self.most[series], sample.value)

    def _run(self) -> None:
        while not self._end.wait(_INTERVAL):
            self.look()


def get(port: int, path: str) -> str:
    """What an endpoint says. Raises OSError, of which HTTPError is one."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
        text: str = answer.read().decode()
    return text
