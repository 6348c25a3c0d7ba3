"""What came of a simulation: figures, a table of sites, and its plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from tests.bench.simulate.lines import Line, Panel, drawn
from tests.bench.simulate.record import Record
from tests.bench.simulate.world import World

#: How kinds of sites are called, in their order.
KINDS = {
    "fast": "large, 100 ms",
    "limited": "large, limited rate",
    "away": "large, away for a while",
    "few": "large, takes 50 sessions",
    "slow": "large, 1 s each",
    "plain": "small",
    "tarpit": "small, tarpit (30 s)",
    "outage": "small, away at first",
    "greylist": "small, greylists",
    "few sessions": "small, takes 1 session",
}


#: Deliveries of a queue from which on shares mean something.
ENOUGH = 500


class Row(Struct, frozen=True):
    """All sites of a kind, together."""

    kind: str
    sites: int
    messages: int
    #: When the last message of the campaigns left, and when it could have at the soonest, minutes.
    drained_min: float
    soonest_min: float
    opened: int
    failed: int


def rows(world: World, record: Record) -> list[Row]:
    """A row for each kind of site."""
    found = []
    for kind in KINDS:
        sites = [name for name, host in world.hosts.items() if host.kind == kind]
        if sites:
            found.append(
                Row(
                    kind,
                    len(sites),
                    sum(record.delivered[site] for site in sites),
                    max(record.drained_ms.get(site, 0) for site in sites) / record.minute_ms,
                    max(world.soonest_ms(one, record.campaigns[one]) for one in sites)
                    / record.minute_ms,
                    sum(record.opened[site] for site in sites),
                    sum(record.failed[site] for site in sites),
                )
            )
    return found


def jain(values: Iterable[float]) -> float:
    """Jain's index of fairness: 1 where all got the same, 1/n where one got everything."""
    every = list(values)
    squares = len(every) * sum(one * one for one in every)
    return sum(every) ** 2 / squares if squares else 1.0


def fairness(world: World, record: Record) -> float:
    """Jain's index over the campaigns of what each got by its weight, worst of the large sites."""
    weights = {one.lane: one.weight for one in world.senders if not one.over_ms}
    indices = [
        jain(record.shared[name][lane] / weight for lane, weight in weights.items())
        for name in world.domains[:5]
        if record.shared[name].total() > ENOUGH
    ]
    return min(indices, default=1.0)


def figures(world: World, record: Record) -> dict[str, Any]:
    """The figures that are looked at first."""
    total = sum(one.messages for one in world.senders)
    return {
        "messages": total,
        "domains": len(world.domains),
        "sites": len(world.hosts),
        "with an outcome": record.final,
        "delivered": record.delivered.total(),
        "bounced": record.bounced,
        "expired": record.expired,
        "attempts a message": round(record.attempts / total, 4),
        "connections opened": record.opened.total(),
        "connections failed": record.failed.total(),
        "limits exceeded": record.beyond,
        "fairness among campaigns (Jain, by weight)": round(fairness(world, record), 4),
        "steady mail to plain sites, first attempt, p50 s": round(
            record.well.quantile(0.5) / 1000, 2
        ),
        "the same, p99 s": round(record.well.quantile(0.99) / 1000, 2),
        "campaigns done after, minutes": round(
            max(record.drained_ms.values()) / record.minute_ms, 1
        ),
    }


def plot(world: World, record: Record) -> str:
    """The image of a run."""
    minutes = range(max(record.by_minute) + 1)
    totals = dict.fromkeys(KINDS, 0)
    through: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for minute in minutes:
        for kind in KINDS:
            totals[kind] += record.by_minute[minute][kind]
            through[kind].append(totals[kind])
    shares = {k: [100 * v / max(totals[k], 1) for v in some] for k, some in through.items()}
    waits = [record.waits[minute] for minute in range(max(record.waits, default=0) + 1)]
    large, small = list(KINDS)[:5], list(KINDS)[5:]
    panels = (
        _panel("Large sites: delivered so far", "% of theirs", shares, large),
        _panel("Small sites: delivered so far", "% of theirs", shares, small),
        Panel(
            "Delivered by all sites",
            "messages a second",
            (
                _line(
                    "all", (record.by_minute[m].total() * 1000 / record.minute_ms for m in minutes)
                ),
            ),
        ),
        Panel(
            "Steady mail to plain sites: wait until tried",
            "s, by minute of coming",
            (
                _line("median", (one.quantile(0.5) / 1000 for one in waits)),
                _line("99 %", (one.quantile(0.99) / 1000 for one in waits)),
            ),
        ),
        Panel(
            "Connections in use, the fleet",
            "most in each minute",
            (_line("all sites", (record.in_use[minute] for minute in minutes)),),
        ),
        Panel(
            "Connections asked of sites that are away",
            "a minute",
            tuple(
                _line(KINDS[kind], (record.tried[minute][kind] for minute in minutes))
                for kind in ("away", "outage")
            ),
        ),
    )
    total = sum(one.messages for one in world.senders)
    title = f"{total:,} messages to {len(world.domains):,} domains, half of them to five sites"
    note = "simulated: virtual clock and hosts, the store's real scripts and the real policy"
    return drawn(title, note, panels)


def _panel(title: str, unit: str, shares: dict[str, list[float]], kinds: Sequence[str]) -> Panel:
    return Panel(title, unit, tuple(_line(KINDS[kind], shares[kind]) for kind in kinds))


def _line(label: str, values: Iterable[float]) -> Line:
    return Line(label, tuple(values))
