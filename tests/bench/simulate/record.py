"""What is observed of a simulation: fates, waits, connections, and whether a limit was exceeded."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

#: Two classes of waits differ by so much.
_STEP = 1.1
_MINUTE = 60_000


class Waits:
    """How long something waited, in ms, in classes."""

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()

    def add(self, ms: float, count: int) -> None:
        """So many waited so long."""
        self._classes[round(math.log(max(ms, 1.0), _STEP))] += count

    def quantile(self, share: float) -> float:
        """What that share waited at most, in ms; 0 of none."""
        left = self._classes.total() * share
        for number, count in sorted(self._classes.items()):
            left -= count
            if left <= 0:
                return float(_STEP**number)
        return 0.0


class Record:
    """Counts, by site, by lane and by minute."""

    def __init__(self, minute_ms: int = _MINUTE) -> None:
        self.minute_ms = minute_ms
        self.delivered: Counter[str] = Counter()
        self.bounced = self.expired = self.deferred = self.attempts = 0
        #: Connections opened or tried in vain, and the latter, by site.
        self.opened: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        #: Of the campaigns: messages that are final, and the moment of the last one, by site.
        self.campaigns: Counter[str] = Counter()
        self.drained_ms: dict[str, int] = {}
        #: Minute -> delivered, by site; and most connections at once.
        self.by_minute: dict[int, Counter[str]] = defaultdict(Counter)
        self.in_use: dict[int, int] = defaultdict(int)
        self.tried: dict[int, Counter[str]] = defaultdict(Counter)
        #: Of the steady tenants' mail for sites that are well: how long it waited for its first
        #: attempt, by the minute in which it came, and all of it together.
        self.waits: dict[int, Waits] = defaultdict(Waits)
        self.well = Waits()
        #: Queue -> lane -> deliveries leased while all campaigns had some left there.
        self.shared: dict[str, Counter[str]] = defaultdict(Counter)
        #: Times that a site had more connections than its limit, or more mail than its rate.
        self.beyond = 0

    def minute(self, ms: int) -> int:
        """The minute of a moment."""
        return ms // self.minute_ms

    @property
    def final(self) -> int:
        """Messages with an outcome."""
        return self.delivered.total() + self.bounced + self.expired
