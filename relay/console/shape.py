"""The queue by age, as Postfix's qshape shows it: a row for each domain or tenant.

Two minutes old mail in many rows is traffic; one row with old mail is a destination that does not
take it; old mail in all rows is a fault of our own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Literal

from msgspec import Struct

from relay.store.client import StoreClient
from relay.store.codec import Place
from relay.store.control import Control
from relay.store.gauges import AGES
from relay.store.strata import Strata
from relay.store.walk import Met

By = Literal["domain", "tenant"]
State = Literal["all", "waiting", "leased", "deferred", "held"]
STATES: tuple[State, ...] = ("all", "waiting", "leased", "deferred", "held")

_STATES: dict[Place, State] = {
    Place.LATER: "deferred",
    Place.READY: "waiting",
    Place.LEASED: "leased",
    Place.HELD: "held",
}


class ShapeRow(Struct, frozen=True):
    """Deliveries of one domain or tenant by age."""

    name: str
    deliveries: int
    #: Up to each bound, and not up to the one before it; the last: older than all bounds.
    ages: tuple[int, ...]


class ShapeView(Struct, frozen=True):
    """Deliveries by age, together and row by row; most first."""

    by: str
    state: str
    #: The bounds of the ages in minutes; `ages` has one more.
    bounds_minutes: tuple[int, ...]
    deliveries: int
    ages: tuple[int, ...]
    rows: tuple[ShapeRow, ...]
    #: How many domains or tenants there are; `rows` may show fewer. A sample may miss small ones.
    names: int
    #: Deliveries that were looked at: where that is a sample, the counts are estimates.
    looked_at: int
    sampled: bool
    #: Deliveries that a newer version of Relay wrote: in no count.
    unread: int


class Shape:
    """Reads it. Every call raises StoreUnavailable."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._control = Control(client, partitions)

    async def read(
        self, *, by: By = "domain", state: State = "all", limit: int = 20, sample: int = 0
    ) -> ShapeView:
        """The rows with most deliveries; `sample`: how many are looked at, about, 0 for all."""
        seconds, micros = await self._client.read("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        whole = frozenset((one.kind, one.name) for one in await self._control.paused())
        strata = Strata(self._client, self._partitions, AGES, sample)
        found: dict[str, list[float]] = defaultdict(lambda: [0.0] * (len(AGES) + 1))
        looked_at = 0
        async for portion in strata.portions(now_ms):
            looked_at += len(portion.met)
            for one in portion.met:
                if state in ("all", state_of(one, whole)):
                    name = one.stored.domain if by == "domain" else one.tenant
                    found[name][column(now_ms - one.accepted_ms)] += portion.weight
        every = [sum(ages) for ages in zip(*found.values(), strict=True)] or [0.0] * (len(AGES) + 1)
        first = sorted(found.items(), key=lambda item: (-sum(item[1]), item[0]))[:limit]
        return ShapeView(
            by=by,
            state=state,
            bounds_minutes=tuple(age // 60 for age in AGES),
            deliveries=round(sum(every)),
            ages=_rounded(every),
            rows=tuple(ShapeRow(name, round(sum(ages)), _rounded(ages)) for name, ages in first),
            names=len(found),
            looked_at=looked_at,
            sampled=strata.sampled,
            unread=strata.unread,
        )


def column(age_ms: int) -> int:
    """Which of the ages a delivery is counted in."""
    return bisect_left(AGES, age_ms / 1000)


def state_of(one: Met, whole: Collection[tuple[str, str]]) -> State:
    """What `relay queue` calls it; `whole` has the queues and tenants that are held as a whole."""
    state = _STATES[one.stored.place]
    paused = ("queue", one.stored.domain) in whole or ("tenant", one.tenant) in whole
    return "held" if state == "waiting" and paused else state


def _rounded(ages: Sequence[float]) -> tuple[int, ...]:
    return tuple(map(round, ages))
