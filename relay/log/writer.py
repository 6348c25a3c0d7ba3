"""The log's way out: a thread writes, so that a slow terminal, pipe or disk stops no event loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

from relay.log.records import Record

#: Lines that wait to be written at most; what comes on top is dropped and counted.
MOST_WAITING = 100_000
#: How long lines are gathered before they are written together, in seconds.
_GATHER = 0.05
_BATCH = 1000

#: A rendered line without its end, or a record still to be rendered.
Line = bytes | Record


class Writer:
    """Writes lines to `stream` in the order they were put, rendering records by `render`."""

    def __init__(
        self, stream: BinaryIO, render: Callable[[Record], bytes], most: int = MOST_WAITING
    ) -> None:
        self._stream = stream
        self._render = render
        self._most = most
        # An event among the lines is set when all before it are written.
        self._waiting: deque[Line | threading.Event] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._ended = False
        self._lost = 0
        #: Lines dropped as too many waited.
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="relay-log", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """Have a line written soon. Never blocks; drops the line where too many wait."""
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        self._waiting.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was put is written; False where it took longer than `timeout` s."""
        written = threading.Event()
        self._waiting.append(written)
        self._hurry.set()
        self._wake.set()
        return written.wait(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits and end the thread; the stream stays open."""
        self._ended = True
        self._hurry.set()
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._hurry.wait(_GATHER)
            # Cleared before the queue is looked at: what is put meanwhile sets it again.
            self._wake.clear()
            self._hurry.clear()
            while self._waiting:
                self._write_batch()
            if self._ended:
                return

    def _write_batch(self) -> None:
        count = min(len(self._waiting), _BATCH)
        batch = [self._waiting.popleft() for _ in range(count)]
        lines = [self._rendered(line) for line in batch if not isinstance(line, threading.Event)]
        if self.dropped > self._lost:
            lost, self._lost = self.dropped - self._lost, self.dropped
            lines.append(b'{"level":"error","event":"log lines dropped","count":%d}' % lost)
        self._write(lines)
        for line in batch:
            if isinstance(line, threading.Event):
                line.set()

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        try:
            self._stream.write(b"\n".join([*lines, b""]))
            self._stream.flush()
        except (OSError, ValueError):
            # The reader is gone or the stream was closed: there is nowhere left to complain.
            self.dropped += len(lines)
            self._lost = self.dropped

    def _rendered(self, line: Line) -> bytes:
        if isinstance(line, bytes):
            return line
        try:
            return self._render(line)
        except (TypeError, ValueError):
            # Whatever is wrong with one record, those behind it are to be written.
            return b'{"level":"error","event":"a record could not be rendered"}'
