"""The attempt table: how many jobs a process takes, so that slow sites cannot use it up."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from relay.delivery.path import EgressPath


class Standing(Enum):
    """What is known of how long a site holds what it is given."""

    #: It took mail lately, and soon.
    PROVEN = "proven"
    #: It took none lately, so nothing is known.
    NEW = "new"
    #: It took mail lately, but each time it took long, as a tarpit does.
    SLOW = "slow"


# Python 3.11 finds a member in its class in the time of two calls.
PROVEN, NEW, SLOW = Standing.PROVEN, Standing.NEW, Standing.SLOW


class TableOptions(Struct, frozen=True):
    """What one process holds at most.

    Sites that are not proven share half of the attempts, and those of them that are known to be
    slow a quarter: so they leave room to sites that nothing is known of yet.
    """

    #: Jobs in hand.
    attempts: int = 2000
    #: Octets of content in hand.
    octets: int = 64 << 20
    #: How long a success tells how a site stands, in seconds.
    proven_s: float = 60.0
    #: A success that took longer than this, in seconds, is a slow one.
    slow_s: float = 10.0


class AttemptTable:
    """Counts jobs and octets in hand; paths that found no room wait here in their order."""

    def __init__(self, options: TableOptions) -> None:
        self._options = options
        self._jobs = 0
        self._octets = 0
        #: Jobs of paths that were not proven when they were taken, and of slow ones among these.
        self._unproven = self._slow = 0
        self._waiting: dict[Standing, OrderedDict[EgressPath, None]] = {
            standing: OrderedDict() for standing in Standing
        }

    @property
    def jobs(self) -> int:
        """Jobs in hand."""
        return self._jobs

    @property
    def unproven(self) -> int:
        """Those of sites that were not proven when they were taken."""
        return self._unproven

    def is_slow(self, took: float) -> bool:
        """Whether a success that took so many seconds is a slow one."""
        return took > self._options.slow_s

    def standing(self, quick: float, slow: float, now: float) -> Standing:
        """That of a site whose last quick and last slow success were at these times."""
        if now - quick < self._options.proven_s:
            return PROVEN
        return SLOW if now - slow < self._options.proven_s else NEW

    def room(self, standing: Standing) -> int:
        """How many more jobs a path may take."""
        if self._octets >= self._options.octets:
            return 0
        attempts = self._options.attempts
        room = attempts - self._jobs
        if standing is not PROVEN:
            room = min(room, attempts // 2 - self._unproven)
        if standing is SLOW:
            room = min(room, attempts // 4 - self._slow)
        return max(room, 0)

    def take(self, count: int, standing: Standing) -> None:
        """Count jobs that were asked for."""
        self._jobs += count
        if standing is not PROVEN:
            self._unproven += count
            self._slow += count if standing is SLOW else 0

    def give_back(self, count: int, standing: Standing) -> None:
        """Count jobs that were asked for and not granted."""
        self.take(-count, standing)

    def load(self, octets: int) -> None:
        """Count content that is at hand."""
        self._octets += octets

    def end(self, octets: int, standing: Standing) -> None:
        """Count a job that ended, with its content."""
        self.take(-1, standing)
        self._octets -= octets

    def wait(self, path: EgressPath, standing: Standing) -> None:
        """Have `path.advance()` called when there is room; who waits already keeps its place."""
        if path not in self._waiting[standing]:
            self.forget(path)
            self._waiting[standing][path] = None

    def forget(self, path: EgressPath) -> None:
        """The path wants nothing any more."""
        for waiting in self._waiting.values():
            waiting.pop(path, None)

    @property
    def waiting(self) -> bool:
        """Whether any path waits for room."""
        return any(self._waiting.values())

    def longest_waiting(self, most: int) -> list[EgressPath]:
        """Paths that wait, of each kind those that do so for longest; `most` of them."""
        turns = zip_longest(*self._waiting.values())
        return list(islice((path for turn in turns for path in turn if path is not None), most))

    def let_in(self) -> None:
        """Let those that wait go on in their order, as far as there is room for their kind."""
        for standing, waiting in self._waiting.items():
            while waiting and self.room(standing):
                path, _ = waiting.popitem(last=False)
                path.advance()
                if path in waiting:
                    break
