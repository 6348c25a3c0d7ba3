"""Shaping: how many connections and how much mail an egress path may have, by source and site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct, structs

_RATE = re.compile(
    r"(\d+)/(\d*)\s*(second|sec|s|minute|min|m|hour|hr|h|day|d)(?:,max_burst=(\d+))?"
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rate(Struct, frozen=True):
    """So many events in so many seconds, and at most `burst` at once (0: all of `count`)."""

    count: int
    seconds: float
    burst: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.seconds <= 0 or self.burst < 0:
            raise ValueError("a rate needs a count, a time and no negative burst")

    @property
    def every_us(self) -> int:
        """Microseconds between two events, rounded up: the rate is never exceeded."""
        return -int(-self.seconds * 1_000_000 // self.count)

    @property
    def most_at_once(self) -> int:
        """How many events may come at once."""
        return self.burst or self.count

    def wait_ms(self, arrival_us: int, now_us: int) -> int:
        """How long until one more may pass, where the next would arrive at `arrival_us`."""
        arrival = min(arrival_us, now_us + self.every_us * self.most_at_once)
        wait_us = arrival - now_us - self.every_us * (self.most_at_once - 1)
        return max(0, -(-wait_us // 1000))


def rate_of(text: str) -> Rate:
    """The rate that `N/period[,max_burst=B]` names, such as `100/min` or `20/30min,max_burst=1`.

    Raises ValueError for anything else.
    """
    found = _RATE.fullmatch(text.replace(" ", ""))
    if found is None:
        raise ValueError(f"not a rate such as 100/min or 20/30min,max_burst=1: {text!r}")
    count, times, period, burst = found.groups()
    return Rate(int(count), int(times or 1) * _SECONDS[period[0]], int(burst or 0))


#: Seconds within which a site answers a transaction that has room for more, as long as it never
#: failed: its window grows by one for each.
PROMPT = 1.0


class Limits(Struct, frozen=True, kw_only=True):
    """What holds for one egress path, in the whole fleet."""

    #: Connections at once, at most.
    connections: int = 20
    #: The window before there was any answer; each grows it or shrinks it (Postfix's way).
    initial: int = 5
    #: Deliveries begun, and connections opened; None: no limit.
    delivery_rate: Rate | None = None
    connection_rate: Rate | None = None
    #: Windows full of failed connections, with no success between, that make the path dead.
    failed_cohorts: float = 1.0
    #: How long a dead path rests, in seconds: the first time, and at most; it doubles each time.
    first_pause: float = 60.0
    longest_pause: float = 900.0

    def __post_init__(self) -> None:
        if not 1 <= self.connections <= 1000 or self.initial < 1:
            raise ValueError("1 to 1000 connections and an initial window of 1 or more are needed")
        if self.failed_cohorts <= 0 or not 0 < self.first_pause <= self.longest_pause:
            raise ValueError("failed cohorts and pauses must be above 0, the longest pause longest")


class Override(Struct, frozen=True, kw_only=True):
    """A row of the shaping table: what it sets, for the paths that it is about.

    `site` is a site's name or a domain, exact, or `*.example.com` for all below it, or `*`;
    `source` an egress source or `*`. What is None stays as it was.
    """

    site: str = "*"
    source: str = "*"
    connections: int | None = None
    initial: int | None = None
    delivery_rate: Rate | None = None
    connection_rate: Rate | None = None
    failed_cohorts: float | None = None
    first_pause: float | None = None
    longest_pause: float | None = None

    def applies(self, source: str, site: str, domain: str) -> bool:
        """Whether the row is about mail for `domain` on the path (`source`, `site`)."""
        if self.source not in ("*", source):
            return False
        return _matches(self.site, site) or _matches(self.site, domain)

    def on(self, limits: Limits) -> Limits:
        """`limits` with what this row sets."""
        said = {name: getattr(self, name) for name in Limits.__struct_fields__}
        return structs.replace(limits, **{k: v for k, v in said.items() if v is not None})


class Shaping:
    """The limits of every egress path: `default`, then each row that applies, the last one wins."""

    def __init__(self, default: Limits | None = None, rows: Sequence[Override] = ()) -> None:
        self._default = default or Limits()
        self._rows = tuple(rows)
        self._limits = lru_cache(maxsize=10_000)(self._find)

    def limits(self, source: str, site: str, domain: str = "") -> Limits:
        """The limits for mail to `domain` on the path (`source`, `site`).

        A row that names a domain binds only when mail for that domain asks.
        """
        return self._limits(source, site, domain)

    def _find(self, source: str, site: str, domain: str) -> Limits:
        limits = self._default
        for row in self._rows:
            if row.applies(source, site, domain):
                limits = row.on(limits)
        return limits


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return pattern in ("*", name)
