"""The gauges of the whole fleet: read from the store and the broker, for the exporter to serve.

Each is read by itself, so that one that is away keeps nobody from hearing of the other; and as
often as is said here, however often somebody asks for the metrics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from relay import log, metrics
from relay.errors import RelayError
from relay.metrics.labels import CONSUMERS
from relay.store.client import StoreClient
from relay.store.doorbell import Doorbell
from relay.store.gauges import AGES, FleetGauges, Gauges
from relay.store.memory import Memory, fullest, memories, memory
from relay.store.paths import Path, Paths, PathState
from relay.store.roster import Roster
from relay.store.schema import misfits
from relay.store.shares import Shares
from relay.store.wire import ReplyError

_log = log.logger("relay.exporter")

#: Seconds between two readings: whoever scrapes does so no more often, as a rule.
INTERVAL = 5.0
#: Seconds that a call to the store may take; what an exporter's client is to have.
PATIENCE = 5.0
_STATES = ("later", "ready", "leased", "held")


class Fleet:
    """Sets the gauges of `relay.metrics`; it only reads, so any number of them may run."""

    def __init__(
        self,
        client: StoreClient,
        partitions: int,
        doorbell: Doorbell,
        *,
        deadline_ms: int = 10_000,
        names: int = 20,
        interval: float = INTERVAL,
        tenant_share: float = 0.0,
    ) -> None:
        """`deadline_ms`: when the pump rings a queue again that nobody drains; see Gauges.parked.
        `names`: sites and tenants that are shown one by one. `tenant_share`: of the store's memory,
        for one tenant; 0: any.

        The client need not be started: the gauges are there once the store is.
        """
        self._client = client
        self._partitions = partitions
        self._doorbell = doorbell
        self._gauges = FleetGauges(client, partitions, deadline_ms=deadline_ms, consumers=CONSUMERS)
        self._roster = Roster(client)
        self._paths = Paths(client, "")
        self._shares = Shares(client, partitions)
        self._tenant_share = tenant_share
        self._names = names
        self._interval = interval
        self._faults = {"store": "it was not read yet", "broker": "it was not read yet"}

    @property
    def faults(self) -> list[str]:
        """What could not be read the last time, and why; the gauges of the other are fresh."""
        return [f"the {what} cannot be read: {why}" for what, why in self._faults.items() if why]

    async def watch(self) -> None:
        """Read again and again, for as long as this runs."""
        await asyncio.gather(self._again(self.look_at_store), self._again(self.look_at_broker))

    async def look_at_store(self) -> None:
        """Read the store once. What cannot be read keeps its last value."""
        metrics.STORE_UP.set(await self._works("store", self._read_store))

    async def look_at_broker(self) -> None:
        """Read the broker once. What cannot be read keeps its last value."""
        metrics.BROKER_UP.set(await self._works("broker", self._read_broker))

    async def _again(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            await look()
            await asyncio.sleep(self._interval)

    async def _works(self, what: str, read: Callable[[], Awaitable[str]]) -> bool:
        try:
            fault = await read()
        except (RelayError, ReplyError) as error:
            fault = str(error)
        if fault and fault != self._faults[what]:
            _log.warning(f"the {what} cannot be read", reason=fault)
        self._faults[what] = fault
        return not fault

    async def _read_store(self) -> str:
        problems = await misfits(self._client, self._partitions)
        if not problems:
            # Before the counts, which take all of the primaries: so that it shows which is away.
            _show_nodes(await memories(self._client))
            _show(await self._gauges.read())
            _, limit = await memory(self._client)
            metrics.TENANT_SHARE.set(int(limit * self._tenant_share))
            tenants = await self._shares.largest(self._names)
            metrics.show_tenants(tenants.named, tenants.others)
            metrics.WORKERS.set(await self._roster.workers())
            sites = (await self._roster.foremost(self._names)).sites
            metrics.show_paths(_paths(await self._paths.states([Path("", site) for site in sites])))
        return "; ".join(problems)

    async def _read_broker(self) -> str:
        metrics.BROKER_TASKS.set(await self._doorbell.depth())
        return ""


def _show(now: Gauges) -> None:
    for state, count in zip(_STATES, (now.later, now.ready, now.leased, now.held), strict=True):
        metrics.QUEUE_DELIVERIES[state].set(count)
    metrics.QUEUE_OLDEST_SECONDS.set(now.oldest)
    metrics.QUEUE_OLDEST_ACTIVE_SECONDS.set(now.oldest_active)
    metrics.QUEUE_PARKED.set(now.parked)
    metrics.QUEUE_OVERDUE.set(now.overdue)
    metrics.show_ages(AGES, now.ages)
    metrics.EVENTS_LENGTH.set(now.events)
    for consumer, lag in now.lags.items():
        metrics.OUTBOX_LAG[consumer].set(lag)
    metrics.STORE_ROUND_TRIP.set(now.round_trip)


def _show_nodes(nodes: Mapping[str, Memory | None]) -> None:
    """Each by itself, and the store as a whole: as full as its fullest primary."""
    there = [one for one in nodes.values() if one is not None]
    full = fullest(there)
    metrics.STORE_MEMORY_USED.set(full.used)
    metrics.STORE_MEMORY_MAX.set(full.most)
    metrics.STORE_WRITES.set(all(one.writes for one in there))
    metrics.STORE_FILE.set(max(one.file for one in there))
    metrics.show_nodes({name: (one.used, one.most) if one else None for name, one in nodes.items()})


def _paths(states: Sequence[PathState]) -> dict[str, tuple[int, int, int, str]]:
    return {one.path.site: (one.window or 0, one.in_use, one.waiters, one.state) for one in states}
