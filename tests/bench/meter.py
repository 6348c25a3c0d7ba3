"""The meter: CPU and memory of the system under test, of the harness, and of everybody else.

CPU is user and system time of all processes of the system, its store and broker included, those
that have ended too: by a cpuacct cgroup (v1) where there is one, else by /proc of the process tree.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

_CPUACCT = Path("/sys/fs/cgroup/cpuacct")
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LARGEST = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
#: Seconds between two looks at the memory.
_LOOK = 0.25
#: Names the file descriptor of the /proc that was there before the sandbox: it shows all processes.
_OUTER = "RELAY_BENCH_PROC"
#: The kernel's own threads are children of this process (kthreadd).
_KTHREADD = 2


class Process(Struct, frozen=True):
    """A process as /proc shows it."""

    pid: int
    parent: int
    #: Seconds of its own, and of its children that have ended and were waited for.
    cpu: float
    ended_cpu: float
    rss: int

    @property
    def command(self) -> str:
        """Its command line, "" where it has ended."""
        try:
            text = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return ""
        return text.replace(b"\0", b" ").decode("utf-8", "replace").strip()

    @property
    def largest(self) -> int:
        """The most octets of resident memory that it had since its start, 0 where it has ended."""
        try:
            text = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return 0
        found = _LARGEST.search(text)
        return int(found[1]) << 10 if found else 0


def keep_outer_proc() -> None:
    """Called before the sandbox is entered, so that it can see who else uses the machine."""
    handle = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(handle, True)
    os.environ[_OUTER] = str(handle)


def kernel_cpu() -> float:
    """CPU seconds of the kernel's own threads, such as those that write to the disk."""
    outer = os.environ.get(_OUTER)
    every = processes(f"/proc/self/fd/{outer}" if outer else "/proc")
    return sum(one.cpu for one in every.values() if one.parent == _KTHREADD)


def processes(proc: str = "/proc") -> dict[int, Process]:
    """All processes that can be seen there."""
    found = {}
    for entry in os.listdir(proc):
        if entry.isdigit():
            try:
                text = Path(f"{proc}/{entry}/stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            fields = text.rpartition(")")[2].split()
            times = [int(field) / _TICK for field in fields[11:15]]
            rss = int(fields[21]) * _PAGE
            found[int(entry)] = Process(
                int(entry), int(fields[1]), times[0] + times[1], times[2] + times[3], rss
            )
    return found


def tree(root: int) -> list[Process]:
    """The process and all its descendants."""
    every = processes()
    children: dict[int, list[int]] = {}
    for process in every.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        if pid in every:
            found.append(every[pid])
            waiting += children.get(pid, ())
    return found


class Group(Protocol):
    """The processes of one system, whose CPU is counted together."""

    #: How it counts, for the report.
    way: str

    def join(self) -> None:
        """Called in a new process of the group, before its program."""

    def cpu(self) -> float:
        """Seconds so far, of all that ever belonged to it."""

    def members(self) -> list[Process]:
        """Those that live."""

    def remove(self) -> None:
        """Nothing is counted any more."""


class Cgroup:
    """By a cpuacct cgroup: exact, and whoever is born in it stays in it."""

    way = "cgroup cpuacct"

    def __init__(self, name: str) -> None:
        # Another benchmark on this machine has another PID namespace.
        own = os.stat("/proc/self/ns/pid").st_ino
        self._path = _CPUACCT / f"relay-bench-{own}-{name}"
        self._path.mkdir(exist_ok=True)

    def join(self) -> None:
        """Put the calling process in."""
        (self._path / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def cpu(self) -> float:
        """Seconds so far."""
        return int((self._path / "cpuacct.usage").read_text(encoding="ascii")) / 1e9

    def remove(self) -> None:
        """Leave it, and remove it where nobody else is in it."""
        (_CPUACCT / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
        with contextlib.suppress(OSError):
            self._path.rmdir()

    def members(self) -> list[Process]:
        """Those that live."""
        every = processes()
        # A process of another PID namespace shows as 0.
        text = (self._path / "cgroup.procs").read_text(encoding="ascii")
        return [every[int(pid)] for pid in text.split() if int(pid) in every]


class Tree:
    """By /proc: a process that we started, and its descendants."""

    way = "/proc of the process tree"

    def __init__(self, root: Callable[[], int | None], without: Group | None = None) -> None:
        self._root = root
        self._without = without

    def join(self) -> None:
        """Whoever is a descendant is a member."""

    def cpu(self) -> float:
        """Seconds so far; of those that ended, where their parent has waited for them."""
        own = sum(process.cpu + process.ended_cpu for process in self.members())
        return own - (self._without.cpu() if self._without is not None else 0.0)

    def members(self) -> list[Process]:
        """Those that live."""
        root = self._root()
        return tree(root) if root is not None else []

    def remove(self) -> None:
        """There is nothing to remove."""


def has_cgroups() -> bool:
    """Whether a cpuacct cgroup can be made here."""
    return os.geteuid() == 0 and (_CPUACCT / "cpuacct.usage").exists()


def group(name: str, root: Callable[[], int | None]) -> Group:
    """A group for a system whose first process is `root`."""
    return Cgroup(name) if has_cgroups() else Tree(root)


def harness(system: Group) -> Group:
    """This process and all that it starts, but for the system under test."""
    if not isinstance(system, Cgroup):
        return Tree(os.getpid, without=system)
    own = Cgroup("harness")
    own.join()
    return own


class Usage(Struct, frozen=True):
    """CPU seconds between two moments."""

    system: float
    #: Injector, sink, DNS and the harness itself.
    harness: float
    #: The kernel's own threads: most of it syncs files for the system.
    kernel: float
    #: All the rest of the machine.
    foreign: float
    #: Of the system: seconds by process, named by `name_of`.
    by_process: dict[str, float]


class Meter:
    """Measures from `begin` to `end`, and the peak of memory between."""

    def __init__(self, system: Group, harness: Group, name_of: Callable[[str], str]) -> None:
        self._system = system
        self._harness = harness
        self._name_of = name_of
        self._at_begin = (0.0, 0.0, 0.0, 0.0)
        self._by_process: dict[int, float] = {}
        #: Octets of resident memory, all processes of the system together.
        self.peak_rss = 0
        #: Of a single process, by name: the largest that one of them was since its start.
        self.largest: dict[str, int] = {}
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def begin(self) -> None:
        """Measure from now on."""
        self._by_process = {one.pid: one.cpu for one in self._system.members()}
        self._at_begin = self._read()
        self._watch.start()

    def end(self) -> Usage:
        """What was used since `begin`."""
        system, harness, kernel, busy = (
            now - then for now, then in zip(self._read(), self._at_begin, strict=True)
        )
        by_process: dict[str, float] = {}
        for one in self._system.members():
            name = self._name_of(one.command)
            spent = one.cpu - self._by_process.get(one.pid, 0.0)
            by_process[name] = by_process.get(name, 0.0) + spent
            self.largest[name] = max(self.largest.get(name, 0), one.largest)
        self._ended.set()
        self._watch.join()
        foreign = max(busy - system - harness - kernel, 0.0)
        return Usage(system, harness, kernel, foreign, by_process)

    def _read(self) -> tuple[float, float, float, float]:
        return self._system.cpu(), self._harness.cpu(), kernel_cpu(), busy()

    def _look(self) -> None:
        while not self._ended.wait(_LOOK):
            self.peak_rss = max(self.peak_rss, sum(one.rss for one in self._system.members()))


def busy() -> float:
    """CPU seconds of the whole machine that were not idle."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICK
