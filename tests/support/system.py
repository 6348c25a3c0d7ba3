"""The whole system as processes: store, broker, reception and workers, on free ports.

    with Site() as site, System(site, {"RELAY_RETRY__FIRST": "1s"}, workers=2) as system:
        submit(system.port, post("1", "a@one.test"))
        system.until(lambda: site.ids()["1"])

Every `*.test` domain has an MX of its own, at the site's 127.0.0.1 or where `system.at` says.
"""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from relay.mail.ids import partition_of
from relay.store.codec import decode_stored
from relay.store.keys import partition_keys
from tests.support.cluster import SETTINGS, ClusterStore
from tests.support.dns import DnsServer, Zone
from tests.support.ports import free_port
from tests.support.relay import command, environment
from tests.support.relay import relay as run_relay
from tests.support.site import Site
from tests.support.source import eventually
from tests.support.valkey import BROKER_OPTIONS, STORE_OPTIONS, ValkeyServer

#: Seconds that starting, stopping or anything else may take, unless a test says otherwise.
PATIENCE = 30.0
#: Lines of each log that are shown when a test fails.
_SHOWN = 60


class Process:
    """A role as a child process, with its log in a file."""

    def __init__(self, name: str, arguments: list[str], log: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log_file = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                arguments, cwd=log.parent, env=env, stdout=file, stderr=file
            )

    @property
    def log(self) -> str:
        """All that it has said."""
        return self.log_file.read_text(errors="replace")

    def records(self, event: str) -> list[dict[str, Any]]:
        """Its log's records of a kind."""
        lines = (line for line in self.log.splitlines() if line.startswith("{") and event in line)
        found: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [record for record in found if record["event"] == event]

    def until_says(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until its log has a text."""

        def look() -> bool:
            ended = self.process.poll()
            assert ended is None, f"{self.name} ended with {ended}:\n{self.tail()}"
            return text in self.log

        eventually(look, lambda: f"{self.name} says {text!r}:\n{self.tail()}", seconds)

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.splitlines()[-_SHOWN:])

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def terminate(self) -> None:
        """SIGTERM; see `wait`."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(seconds)


class System:
    """Everything but the hosts that are sent to. Use as a context."""

    #: Seconds that a process may take to be ready.
    patience = PATIENCE

    def __init__(
        self,
        site: Site | None,
        variables: Mapping[str, str] = MappingProxyType({}),
        workers: int = 1,
        store: Any = None,
        broker: Any = None,
    ) -> None:
        """`store` and `broker`: servers like a ValkeyServer, not started yet."""
        self.site = site
        if store is None and os.environ.get("TEST_STORE") == "cluster":
            store, variables = ClusterStore(), {**SETTINGS, **variables}
        self.store = store or ValkeyServer(**STORE_OPTIONS)
        self.broker = broker or ValkeyServer(**BROKER_OPTIONS)
        partitions = int(variables.get("RELAY_STORE__PARTITIONS", 1))
        self.partitions = [partition_keys(number, partitions) for number in range(partitions)]
        self.dns = DnsServer({"*.test": Zone(mx=["10 mx.{name}."], a=["127.0.0.1"])})
        self.port = free_port()
        self.workers: list[Process] = []
        #: Every process that was ever started, the ended ones too.
        self.processes: list[Process] = []
        self._count = workers
        self._variables = variables
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.callback(self._end_processes)
            for server in (self.store, self.broker):
                stack.callback(server.remove)
                server.start()
            stack.enter_context(self.dns)
            self.environment = self._environment()
            self.smtp = self._start("smtp", command("smtp"))
            for _ in range(self._count):
                self._start_worker()
            self._until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.show()
        self._stack.close()

    # What runs.

    def start_worker(self) -> Process:
        """One more worker, ready."""
        worker = self._start_worker()
        worker.until_says(" ready.", self.patience)
        return worker

    def start_smtp(self) -> None:
        """Reception again, after it has ended."""
        self.smtp = self._start("smtp", command("smtp"))
        self._until_ready()

    def start_http(self) -> str:
        """The HTTP API, ready; its URL. The settings say who may use it."""
        port = free_port()
        self.environment["RELAY_HTTP__LISTEN"] = f"127.0.0.1:{port}"
        self._start("http", command("http")).until_says("listening")
        return f"http://127.0.0.1:{port}"

    def _start_worker(self) -> Process:
        worker = self._start("worker", command("worker"))
        self.workers.append(worker)
        return worker

    def _start(self, name: str, arguments: list[str], **more: str) -> Process:
        log = self.directory / f"{name}-{len(self.processes) + 1}.log"
        process = Process(name, arguments, log, self.environment | more)
        self.processes.append(process)
        return process

    def _until_ready(self) -> None:
        eventually(self._greets, lambda: f"reception greets:\n{self.smtp.tail()}", self.patience)
        for worker in self.workers:
            worker.until_says(" ready.", self.patience)

    def _greets(self) -> bool:
        assert self.smtp.process.poll() is None, f"reception ended:\n{self.smtp.tail()}"
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE):
                return True
        except OSError:
            return False

    def _environment(self) -> dict[str, str]:
        settings = {
            "RELAY_STORE__URL": self.store.url,
            "RELAY_BROKER__URL": self.broker.tcp_url,
            "RELAY_SMTP__LISTEN": f"127.0.0.1:{self.port}",
            "RELAY_SMTP__HOSTNAME": "relay.test",
            "RELAY_METRICS__ENABLED": "false",
            "RELAY_DELIVERY__NAMESERVERS": self.dns.endpoint,
            "RELAY_DELIVERY__PRIVATE_TARGETS": "127.0.0.0/8",
            "RELAY_DELIVERY__PORT": str(self.site.port if self.site else free_port()),
        }
        return environment(**(settings | dict(self._variables)))

    def _end_processes(self) -> None:
        for one in self.processes:
            if one.process.poll() is None:
                one.kill()

    def show(self) -> None:
        """Print the ends of all logs, and what is left in the store."""
        for one in self.processes:
            print(f"----- {one.name} ({one.process.pid}, exit code {one.process.poll()})")
            print(one.tail())
        print("----- store", self.left(), file=sys.stdout)

    # What the DNS says.

    def place(self, address: str, *domains: str) -> None:
        """Have these domains' MX at an address; they are one host, and one site."""
        host = f"mx.{domains[0]}"
        self.dns.zones[host] = Zone(a=[address])
        for domain in domains:
            self.dns.zones[domain] = Zone(mx=[f"10 {host}."])
        self.dns.forget()

    def at(self, address: str, *domains: str) -> None:
        """The same, at an address at which the hosts of the test are to listen."""
        self.place(address, *domains)
        if self.site is not None:
            self.site.listen(address)

    # What operators see.

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run a command."""
        settings: dict[str, Any] = {
            key: text for key, text in self.environment.items() if key.startswith("RELAY_")
        }
        return run_relay(*arguments, stdin=stdin, **settings)

    def relay(self, *arguments: str) -> Any:
        """A command's JSON."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def until(
        self, look: Callable[[], object], what: object = "", seconds: float = PATIENCE
    ) -> None:
        """Wait until `look()` is true."""
        eventually(look, what, seconds)

    # What is in the store.

    def left(self) -> dict[str, int]:
        """What is there of each thing that must be gone when all is done."""
        counts = {
            name: sum(int(self.store.command(word, getattr(one, name))) for one in self.partitions)
            for name, word in (
                ("deliveries", "HLEN"),
                ("later", "ZCARD"),
                ("ready", "ZCARD"),
                ("leased", "ZCARD"),
                ("held", "ZCARD"),
                ("age", "ZCARD"),
                ("wake", "ZCARD"),
                ("turns", "ZCARD"),
                ("clock", "HLEN"),
            )
        }
        counts["contents"] = len(self.keys("c:*"))
        return {name: count for name, count in counts.items() if count}

    def until_empty(self, seconds: float = PATIENCE) -> None:
        """Wait until nothing is left to be done, and no content is left."""
        eventually(lambda: not self.left(), lambda: f"left: {self.left()}", seconds)

    def keys(self, pattern: str) -> list[str]:
        """The store's keys of the queue."""
        return sorted(
            key
            for one in self.partitions
            for server in self.store.primaries
            for key in server.scan(one.prefix + pattern)
        )

    def connections(self) -> int:
        """Connections that are in use, as far as the store knows."""
        keys = (key for one in self.store.primaries for key in one.scan("relay:{s:*}:conns"))
        return sum(int(self.store.command("ZCARD", key)) for key in keys)

    def parked(self, queue: str) -> str:
        """Why a queue is parked, "" where it is not."""
        reasons = (self.store.command("HGET", one.reasons, queue) for one in self.partitions)
        return next((reason.decode() for reason in reasons if reason), "")

    def attempts(self, queue: str) -> list[int]:
        """How many attempts each delivery of a queue has had."""
        values = (self.store.command("HVALS", one.deliveries) for one in self.partitions)
        stored = [decode_stored(value) for some in values for value in some]
        return [one.attempts for one in stored if one.queue == queue]

    def possible_doubles(self, message: str) -> int:
        """How many possible doubles a message's record counts."""
        keys = self.partitions[partition_of(message)]
        return int(self.store.command("HGET", keys.record(message), "p") or 0)

    def reclaimed(self) -> int:
        """How many leases the workers, the dead ones too, say that they took back."""
        return sum(
            int(record["leases"])
            for one in self.processes
            if one.name == "worker"
            for record in one.records("leases reclaimed")
        )


def freeze(process: Process) -> None:
    """Stop a process as a debugger would."""
    os.kill(process.process.pid, signal.SIGSTOP)


def thaw(process: Process) -> None:
    """Let it go on."""
    os.kill(process.process.pid, signal.SIGCONT)
