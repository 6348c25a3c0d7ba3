"""The sink: where all messages end, with counters to watch and a record of each recipient."""

from __future__ import annotations

import contextlib
import mmap
import re
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct

from tests.bench import tools
from tests.bench.figures import Delay

#: The layouts of struct live and struct entry in src/sink.c.
_LISTENERS = 16
_LIVE = struct.Struct(f"<5Q{_LISTENERS}Q{_LISTENERS}Q{_LISTENERS}Q")
_ENTRY = struct.Struct("<QQQIIII")
#: Seconds between two looks at the counters.
_LOOK = 0.01


class Listener(Struct, frozen=True):
    """One address and port that the sink serves. The first listener is that of healthy domains."""

    address: str
    port: int
    delay: Delay | None = None
    #: Sessions at once; 421 beyond. 0: no limit.
    most: int = 0

    def word(self) -> str:
        """As an argument of the sink."""
        text = f"{self.address}:{self.port}"
        if self.delay is not None:
            text += f",delay={round(self.delay.seconds * 1000)},at={self.delay.at}"
        return text + (f",most={self.most}" if self.most else "")


class Live(Struct, frozen=True):
    """The counters; those of recipients and times by listener. Times are of CLOCK_MONOTONIC."""

    messages: int
    sessions: int
    open: int
    most_open: int
    refused: int
    recipients: tuple[int, ...]
    first_ns: tuple[int, ...]
    last_ns: tuple[int, ...]


class Arrival(Struct, frozen=True, array_like=True):
    """A recipient's message at the sink; times are of CLOCK_MONOTONIC."""

    #: When its final dot came, when the injector began it or should have, and when its MAIL came.
    done_ns: int
    sent_ns: int
    began_ns: int
    message: int
    recipient: int
    octets: int
    listener: int


class Sink:
    """A running sink; `stop` gives what it recorded."""

    def __init__(self, place: Path, listeners: Sequence[Listener]) -> None:
        program = tools.program("sink")
        if program is None:
            raise RuntimeError("the sink needs a C compiler")
        self._prefix = place / "sink"
        self._arrivals: list[Arrival] = []
        argv = [str(program), "-o", str(self._prefix), *(one.word() for one in listeners)]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        if self._process.stdout is None or self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the sink did not start")
        with self._prefix.with_suffix(".live").open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)

    def live(self) -> Live:
        """The counters now."""
        words = _LIVE.unpack_from(self._map)
        by_listener = [words[5 + k * _LISTENERS : 5 + (k + 1) * _LISTENERS] for k in range(3)]
        return Live(*words[:5], *by_listener)

    def stop(self) -> list[Arrival]:
        """End it; what it recorded, in order. May be said again."""
        if self._map.closed:
            return self._arrivals
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._map.close()
        data = self._prefix.with_suffix(".log").read_bytes()
        self._arrivals = [Arrival(*fields) for fields in _ENTRY.iter_unpack(data)]
        return self._arrivals


class PlainSink:
    """Postfix's smtp-sink, where there is no compiler: it counts messages and knows no ids."""

    _COUNT = re.compile(rb"mesg=(\d+)")

    def __init__(self, listener: Listener) -> None:
        place = f"inet:{listener.address}:{listener.port}"
        argv = ["smtp-sink", "-c", "-u", "nobody", place, "4096"]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        self._count, self._first, self._last = 0, 0, 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def live(self) -> Live:
        """The counters now, as far as they are known."""
        return Live(self._count, 0, 0, 0, 0, (self._count,), (self._first,), (self._last,))

    def stop(self) -> list[Arrival]:
        """End it. It records nothing."""
        self._process.terminate()
        self._process.wait()
        return []

    def _read(self) -> None:
        stream: IO[bytes] | None = self._process.stdout
        while stream is not None and (text := stream.read1(4096)):  # type: ignore[attr-defined]
            found = self._COUNT.findall(text)
            if found and int(found[-1]) > self._count:
                self._count, self._last = int(found[-1]), time.monotonic_ns()
                self._first = self._first or self._last


AnySink = Sink | PlainSink


@contextlib.contextmanager
def sink(place: Path, listeners: Sequence[Listener]) -> Iterator[AnySink]:
    """A sink that is surely stopped; Postfix's where there is no compiler and it will do."""
    if tools.compiler() or tools.program("sink"):
        opened: AnySink = Sink(place, listeners)
    elif listeners[0].delay is None:
        opened = PlainSink(listeners[0])
    else:
        raise RuntimeError("this case needs a C compiler: smtp-sink cannot do what its sink does")
    try:
        yield opened
    finally:
        opened.stop()


def wait_for(opened: AnySink, healthy: int, seconds: float) -> bool:
    """Wait until so many recipients of healthy domains were served; whether they were."""
    deadline = time.monotonic() + seconds
    while opened.live().recipients[0] < healthy:
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True
