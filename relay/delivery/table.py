"""The attempt table: how many jobs a process takes, so that slow sites cannot use it up."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from relay.delivery.path import EgressPath


class TableOptions(Struct, frozen=True):
    """What one process holds at most."""

    #: Jobs in hand.
    attempts: int = 2000
    #: Octets of content in hand.
    octets: int = 64 << 20
    #: A site without a success for so long, in seconds, is unproven: those share half of it all.
    proven_s: float = 60.0


class AttemptTable:
    """Counts jobs and octets in hand; paths that found no room wait here in their order."""

    def __init__(self, options: TableOptions) -> None:
        self._options = options
        self._jobs = 0
        self._octets = 0
        #: Jobs of paths that were unproven when they were taken.
        self._unproven = 0
        self._waiting: dict[bool, OrderedDict[EgressPath, None]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }

    @property
    def jobs(self) -> int:
        """Jobs in hand."""
        return self._jobs

    def is_proven(self, last_success: float, now: float) -> bool:
        """Whether a site had a success lately."""
        return now - last_success < self._options.proven_s

    def room(self, *, proven: bool) -> int:
        """How many more jobs a path may take."""
        if self._octets >= self._options.octets:
            return 0
        room = self._options.attempts - self._jobs
        if not proven:
            room = min(room, self._options.attempts // 2 - self._unproven)
        return max(room, 0)

    def take(self, count: int, *, proven: bool) -> None:
        """Count jobs that were asked for."""
        self._jobs += count
        if not proven:
            self._unproven += count

    def give_back(self, count: int, *, proven: bool) -> None:
        """Count jobs that ended, or were not granted; then let others have the room."""
        self._jobs -= count
        if not proven:
            self._unproven -= count

    def load(self, octets: int) -> None:
        """Count content that is at hand."""
        self._octets += octets

    def end(self, octets: int, *, proven: bool) -> None:
        """Count a job that ended, with its content."""
        self._jobs -= 1
        self._octets -= octets
        if not proven:
            self._unproven -= 1

    def wait(self, path: EgressPath, *, proven: bool) -> None:
        """Have `path.advance()` called when there is room."""
        self.forget(path)
        self._waiting[proven][path] = None

    def forget(self, path: EgressPath) -> None:
        """The path wants nothing any more."""
        for waiting in self._waiting.values():
            waiting.pop(path, None)

    @property
    def waiting(self) -> bool:
        """Whether any path waits for room."""
        return bool(self._waiting[True] or self._waiting[False])

    def let_in(self) -> None:
        """Let those that wait go on in their order, as far as there is room for their kind."""
        for proven, waiting in self._waiting.items():
            while waiting and self.room(proven=proven):
                path, _ = waiting.popitem(last=False)
                path.advance()
                if path in waiting:
                    break
