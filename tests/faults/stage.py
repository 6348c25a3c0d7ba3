"""The whole system with its words overheard.

Each process talks to the store, and each worker to the hosts, through proxies of its own.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from tests.faults.proxy import Point, Proxy, Switchboard, Tap, Trap
from tests.faults.taps import HostTap, StoreTap
from tests.support.ports import free_port
from tests.support.relay import command
from tests.support.site import Site
from tests.support.system import Process, System
from tests.support.valkey import ValkeyServer

#: Leases of 2 s and transactions of up to 6 s stand for 30 s and 90 s: the same ratio.
LEASE_S = 2.0
LONGEST_S = 6.0
SETTINGS = {
    "RELAY_LEASE__SECONDS": f"{LEASE_S}s",
    "RELAY_LEASE__DEADLINE": "1s",
    "RELAY_RETRY__FIRST": "1s",
    "RELAY_RETRY__LONGEST": "2s",
    "RELAY_WORKER__GRACE": "4s",
    "RELAY_STORE__TIMEOUT": "5s",
}


@dataclass
class Wired:
    """A process and what it talks through. `host` is for workers alone."""

    store: Proxy
    host: Proxy | None
    process: Process | None = None

    def kill(self, _: Proxy | None = None) -> None:
        """kill -9, at once; see `Stage.bury`."""
        if self.process is not None:
            os.kill(self.process.process.pid, signal.SIGKILL)


class Stage(System):
    """Traps lie in wait on every process that there is and that comes.

    `marked` are octets in a reply of the store that make the point ("marked", "after").
    """

    def __init__(
        self,
        site: Site,
        variables: Mapping[str, str] = MappingProxyType({}),
        workers: int = 3,
        *,
        marked: bytes = b"",
        store: ValkeyServer | None = None,
        services: bool = True,
    ) -> None:
        """`services`: there is the HTTP API, and a way to the store for clients of it."""
        self._http_port = free_port()
        http = {
            "RELAY_HTTP__LISTEN": f"127.0.0.1:{self._http_port}",
            "RELAY_HTTP__NETWORKS": "127.0.0.0/8",
        }
        super().__init__(site, SETTINGS | http | dict(variables), workers)
        self.services = services
        if store is not None:
            self.store.remove()
            self.store = store
        #: More variables of a role's processes, those to come.
        self.more: dict[str, dict[str, str]] = {}
        # A long run has its processes start while the machine is busy with something else.
        self.patience = 90.0
        self.hosts = site
        self.workers_wanted = workers
        self._marked = marked
        self.board = Switchboard()
        self.wired: dict[int, Wired] = {}
        self._trap: tuple[str, Trap] | None = None
        self.kills = 0
        self._outer = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.board)
            self.service = Wired(self.board.proxy(self._store_place, self._store_tap), None)
            super().__enter__()
            stack.callback(super().__exit__, None, None, None)
            self.ready()
            self._outer = stack.pop_all()
        return self

    @property
    def _store_place(self) -> tuple[str, int]:
        return ("127.0.0.1", self.store.port)

    @property
    def http_url(self) -> str:
        """Where the HTTP API is."""
        return f"http://127.0.0.1:{self._http_port}"

    def _until_ready(self) -> None:
        super()._until_ready()
        for one in self.alive("http"):
            one.until_says("listening", self.patience)

    def __exit__(self, *what: Any) -> None:
        if what[1] is not None:
            self.show()
        self._outer.close()

    # Processes.

    def _start(self, name: str, arguments: list[str], **more: str) -> Process:
        store = self.board.proxy(self._store_place, self._store_tap)
        host = None
        more = {"RELAY_STORE__URL": f"redis://{store.address}/0", **self.more.get(name, {}), **more}
        if name == "worker":
            host = self.board.proxy(("127.0.0.1", self.hosts.port), self._host_tap)
            more["RELAY_DELIVERY__PORT"] = str(host.port)
        wired = Wired(store, host)
        wired.process = process = super()._start(name, arguments, **more)
        self.wired[id(process)] = wired
        self._set_trap(process)
        return process

    def _store_tap(self, proxy: Proxy) -> Tap:
        return StoreTap(proxy, self._marked)

    def _host_tap(self, proxy: Proxy) -> Tap:
        return HostTap(proxy, self._marked)

    def alive(self, name: str = "worker") -> list[Process]:
        """Processes of a role that run."""
        return [one for one in self.processes if one.name == name and one.process.poll() is None]

    def wire(self, process: Process) -> Wired:
        """What a process talks through."""
        return self.wired[id(process)]

    def replace_dead(self) -> None:
        """Start as many again as have ended; they need not be ready yet."""
        for _ in range(self.workers_wanted - len(self.alive())):
            self._start_worker()
        if not self.alive("smtp"):
            self.start_smtp()
        if self.services and not self.alive("http"):
            self._start("http", command("http"))
        self.workers = self.alive()

    def ready(self) -> None:
        """Wait until all are."""
        self.replace_dead()
        self._until_ready()

    # Traps.

    def set_trap(self, role: str, trap: Trap | None) -> None:
        """Have it lie in wait on all processes of a role, the coming ones too."""
        self._trap = (role, trap) if trap is not None else None
        self.service.store.trap = trap if role == "service" else None
        for process in self.processes:
            self._set_trap(process)

    def _set_trap(self, process: Process) -> None:
        role, trap = self._trap or ("", None)
        wired = self.wired[id(process)]
        for proxy in (wired.store, wired.host):
            if proxy is not None:
                proxy.trap = trap if process.name == role else None

    def kill_at(self, role: str, point: Point, *, skip: int = 0, seconds: float = 20.0) -> bool:
        """kill -9 the first process of a role that comes there; whether one did in time."""
        by_proxy = {
            id(proxy): wired
            for process, wired in ((one, self.wire(one)) for one in self.alive(role))
            for proxy in (wired.store, wired.host)
            if proxy is not None
        }
        victims: list[Process] = []

        def kill(proxy: Proxy) -> None:
            wired = by_proxy.get(id(proxy)) or self._wired_of(proxy)
            wired.kill()
            assert wired.process is not None
            victims.append(wired.process)

        trap = Trap(point, kill, skip=skip)
        self.set_trap(role, trap)
        came = trap.sprung.wait(seconds)
        self.set_trap(role, None)
        for victim in victims:
            victim.process.wait(10)
            self.kills += 1
        self.replace_dead()
        return came

    def _wired_of(self, proxy: Proxy) -> Wired:
        return next(one for one in self.wired.values() if proxy in (one.store, one.host))

    def kill_one(self, process: Process) -> None:
        """kill -9, wherever it is."""
        process.kill()
        self.kills += 1
        self.replace_dead()

    def drop_answer(self, role: str, name: str, *, seconds: float = 10.0) -> bool:
        """Lose the answer to a script that ran: the connection ends instead."""
        trap = Trap((name, "after"), lambda _: None)
        self.set_trap(role, trap)
        came = trap.sprung.wait(seconds)
        self.set_trap(role, None)
        return came


class Meanwhile:
    """Something that goes on in a thread of its own. Use as a context."""

    def __init__(self, work: Callable[[threading.Event], None]) -> None:
        self._stop = threading.Event()
        self._failure: BaseException | None = None

        def run() -> None:
            try:
                work(self._stop)
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                self._failure = error

        self._thread = threading.Thread(target=run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
