"""What goes on now, in one look: how fast, how much waits and for whom, and which sites trouble."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from relay.console.events import TYPES
from relay.console.records import moment
from relay.console.status import StoreConsole
from relay.console.views import QueueView
from relay.metrics.labels import CONSUMERS
from relay.store.client import StoreClient
from relay.store.gauges import FleetGauges
from relay.store.memory import memory
from relay.store.pace import Pace
from relay.store.paths import Path, Paths
from relay.store.roster import Roster

#: Deliveries of a place that are looked at for the counts by domain: every few seconds.
_SAMPLE = 2000


class Pulse(Struct, frozen=True):
    """Events of one kind a second, in the last ten."""

    kind: str
    per_second: float


class SiteView(Struct, frozen=True):
    """A site that carries much."""

    site: str
    connections: int
    #: None where nothing was heard of it for an hour.
    window: int | None
    #: Queues that wait for a connection.
    waiting: int
    #: open (mail flows), dead (nothing begins for a while) or probe (one connection finds out).
    breaker: str
    #: Of the last failure.
    reply: str


class TopView(Struct, frozen=True):
    """One look; counts in deliveries."""

    at: datetime
    workers: int
    rates: tuple[Pulse, ...]
    waiting: int
    leased: int
    deferred: int
    held: int
    #: Ages in seconds: of the oldest delivery, and of the oldest that is not held.
    oldest_age_s: float
    oldest_active_age_s: float
    #: Queues whose wake-up is overdue: nobody rings, or the broker has too much.
    overdue: int
    #: Of the consumer of events that is farthest behind.
    lag_s: float
    #: Of the primary with the least room.
    memory_used: int
    #: 0: no limit.
    memory_max: int
    round_trip_ms: float
    #: Those with most deliveries.
    domains: tuple[QueueView, ...]
    sites: tuple[SiteView, ...]


class Top:
    """Looks. Raises StoreUnavailable, and changes nothing."""

    def __init__(self, client: StoreClient, partitions: int, *, deadline_ms: int) -> None:
        self._console = StoreConsole(client, partitions, sample=_SAMPLE)
        self._gauges = FleetGauges(client, partitions, deadline_ms=deadline_ms, consumers=CONSUMERS)
        self._pace = Pace(client, partitions)
        self._roster = Roster(client)
        self._paths = Paths(client, "")
        self._client = client

    async def look(self, limit: int) -> TopView:
        """What there is now, at most so many domains and sites."""
        seconds, micros = await self._client.read("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        gauges = await self._gauges.read()
        queues = await self._console.queues(limit=limit)
        rates = await self._pace.rates(now_ms)
        used, most = await memory(self._client)
        return TopView(
            at=moment(now_ms),
            workers=await self._roster.workers(),
            rates=_pulses(rates),
            waiting=queues.waiting,
            leased=queues.leased,
            deferred=queues.deferred,
            held=queues.held,
            oldest_age_s=gauges.oldest,
            oldest_active_age_s=gauges.oldest_active,
            overdue=gauges.overdue,
            lag_s=max(gauges.lags.values(), default=0.0),
            memory_used=used,
            memory_max=most,
            round_trip_ms=round(gauges.round_trip * 1000, 2),
            domains=queues.queues,
            sites=await self._sites(limit),
        )

    async def _sites(self, limit: int) -> tuple[SiteView, ...]:
        """Those that carry most, and in front of them those that take nothing now."""
        names = (await self._roster.foremost(limit)).sites
        states = await self._paths.states([Path("", name) for name in names])
        views = [
            SiteView(one.path.site, one.in_use, one.window, one.waiters, one.state, one.reply)
            for one in states
        ]
        return tuple(sorted(views, key=lambda one: one.breaker == "open"))


def _pulses(rates: Mapping[str, float]) -> tuple[Pulse, ...]:
    """Of each kind of event, whichever letters stand for it."""
    kinds = dict.fromkeys(TYPES.values(), 0.0)
    for letter, kind in TYPES.items():
        kinds[kind] += rates.get(letter, 0.0)
    return tuple(Pulse(kind, round(rate, 1)) for kind, rate in kinds.items())
