"""The machine: what it is, how fast its disk syncs, and the lock that keeps benchmarks apart."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figures

#: Shared by all who measure on this machine.
_LOCK = Path(os.environ.get("RELAY_BENCH_LOCK", Path(tempfile.gettempdir()) / "bench.lock"))
_SYNCS = 300


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of whoever measures here."""
    with _LOCK.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def describe(place: Path) -> Figures:
    """What the figures depend on."""
    p50, p99 = sync_ms(place)
    return {
        "at": time.strftime("%Y-%m-%d %H:%M:%S"),
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": int(_field("/proc/meminfo", "MemTotal").split()[0]) >> 10,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": _filesystem(place),
        "sync_p50_ms": p50,
        "sync_p99_ms": p99,
    }


def sync_ms(place: Path) -> tuple[float, float]:
    """How long it takes to append 4 KiB and sync it: median and 99 %, in ms."""
    times = []
    path = place / "sync"
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(file)
            times.append((time.perf_counter() - began) * 1000)
    path.unlink()
    times.sort()
    return round(times[len(times) // 2], 3), round(times[int(len(times) * 0.99)], 3)


def _field(path: str, name: str) -> str:
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return "?"


def _filesystem(place: Path) -> str:
    """The type of the file system that holds `place`."""
    best, kind = "", "?"
    with open("/proc/mounts", encoding="utf-8") as file:
        for line in file:
            _, point, found, *_ = line.split()
            inside = place.is_relative_to(point)
            if inside and len(point) >= len(best):
                best, kind = point, found
    return kind
