"""What the fleet tells of itself: who works, and which sites and tenants carry most.

Every worker says it every ten seconds, and asks what all of them said together: so all processes
name the same sites in their metrics. These keys are no mail: what is lost of them is told again.

| key `relay:{fleet}:` | type | holds |
|---|---|---|
| `workers` | zset, 1 h | holder -> when it last reported, ms |
| `sites:<n>`, `tenants:<n>` | zset, 2 h | name -> times met in the n-th half hour since 1970 |
| `told:<holder>` | string, 2 min | number of its last report |

What carries most is what did so in this half hour and the two before it: a site that died is still
among the first for an hour, when somebody wants to see it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from itertools import count

from msgspec import Struct

from relay.store.client import StoreClient
from relay.store.script import Text, script

_PREFIX = "relay:{fleet}:"
_REPORT = script("report")
#: Seconds of one zset, and how many of them count.
_SPAN, _SPANS = 1800, 3
#: Names kept in each zset, and told in one report: with those of other spans enough to tell the
#: first 200 of all.
_MOST_KEPT = 1000
_MOST_TOLD = 100
#: Seconds for which a worker that reports every ten counts as working.
_SILENCE = 30


class Foremost(Struct, frozen=True):
    """The sites and tenants that carry most, most first."""

    sites: tuple[str, ...]
    tenants: tuple[str, ...]


class Roster:
    """One holder's part in it; whoever only asks has no holder."""

    def __init__(self, client: StoreClient, holder: str = "") -> None:
        self._client = client
        self._holder = holder
        self._seq = count(1)

    async def report(self, sites: Mapping[str, int], tenants: Mapping[str, int]) -> None:
        """Say that this holder works, and its traffic since it last said. Raises StoreUnavailable.

        Of more than a hundred names the first hundred are told.
        """
        now = await self._seconds()
        span = now // _SPAN
        first, second = _first(sites), _first(tenants)
        names = [f"{_PREFIX}workers", _sites(span), _tenants(span), f"{_PREFIX}told:{self._holder}"]
        args: list[Text] = [self._holder, next(self._seq), _MOST_KEPT, len(first)]
        for name, times in (*first, *second):
            args += (name, times)
        await self._client.call(_REPORT, names, args)

    async def foremost(self, most: int) -> Foremost:
        """Those that carry most, at most so many each. Raises StoreUnavailable."""
        if not most:
            return Foremost((), ())
        last = await self._seconds() // _SPAN
        spans = range(last - _SPANS + 1, last + 1)
        sites, tenants = await asyncio.gather(
            self._sum([_sites(span) for span in spans], most),
            self._sum([_tenants(span) for span in spans], most),
        )
        return Foremost(sites, tenants)

    async def workers(self) -> int:
        """How many work. Raises StoreUnavailable."""
        since = (await self._seconds() - _SILENCE) * 1000
        return int(await self._client.read("ZCOUNT", f"{_PREFIX}workers", since, "+inf"))

    async def _sum(self, keys: list[str], most: int) -> tuple[str, ...]:
        asks = [self._client.read("ZREVRANGE", key, 0, 2 * most, "WITHSCORES") for key in keys]
        total: Counter[str] = Counter()
        for answer in await asyncio.gather(*asks):
            for name, times in zip(answer[::2], answer[1::2], strict=True):
                total[name.decode()] += int(float(times))
        return tuple(name for name, _ in _first(total, most))

    async def _seconds(self) -> int:
        return int((await self._client.read("TIME"))[0])


def _first(times: Mapping[str, int], most: int = _MOST_TOLD) -> list[tuple[str, int]]:
    """The highest counts; equal ones by name, so that everybody has the same."""
    return sorted(times.items(), key=lambda item: (-item[1], item[0]))[:most]


def _sites(span: int) -> str:
    return f"{_PREFIX}sites:{span}"


def _tenants(span: int) -> str:
    return f"{_PREFIX}tenants:{span}"
