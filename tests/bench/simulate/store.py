"""The store of a simulation: the real scripts, run by an embedded Lua on a Redis of tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lupa.luajit21 import LuaRuntime  # type: ignore[import-untyped]

from relay.policy.shaping import Limits, Rate
from relay.store.keys import partition_keys
from relay.store.path_keys import path_keys
from relay.store.script import assemble, script

_HOME = Path(__file__).parent
_LIB = Path(__file__).parents[3] / "relay" / "store" / "scripts" / "lib"
#: Milliseconds: of a lease, of a wake-up, and of a grant of deliveries.
LEASE_MS, DEADLINE_MS, GRANT_MS = 30_000, 10_000, 10_000
MOST_DELIVERIES = 50

#: What scripts/admit.lua does of scheduling with a delivery, for many of one lane at once.
_ADMIT = """#!lua
-- USES clock
-- USES delivery
-- USES lanes
keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside = unpack(KEYS)
local queue, lane, ms, first, count, attempts, wake = unpack(ARGV)
local rung = line_up({queue = queue, lane = lane, ms = ms}, first, now_ms() + wake)
simulation.extend(queue, lane, count, attempts)
return rung
"""


class Run(tuple[str, str, int, int, int, int]):
    """Leased deliveries: queue, lane, accepted at ms, attempts made, first id, how many."""

    __slots__ = ()


class Grant:
    """What `enter` granted."""

    __slots__ = ("again_ms", "deliveries", "fresh", "held", "probe", "state", "waiters")

    def __init__(self, answer: Any) -> None:
        self.state: str = answer[1]
        self.held, self.fresh = int(answer[2]), int(answer[3])
        self.deliveries, self.again_ms = int(answer[4]), int(answer[5])
        self.waiters = int(answer[6])
        self.probe: str = "" if answer[9] == "-" else answer[9]


class Left:
    """What `leave` answered."""

    __slots__ = ("again_ms", "queues", "state", "waiters", "window")

    def __init__(self, answer: Any) -> None:
        self.state: str = answer[1]
        self.window, self.again_ms, self.waiters = (int(answer[at]) for at in (2, 4, 5))
        self.queues: list[str] = [answer[at] for at in range(6, len(answer) + 1)]


class Store:
    """One partition and all egress paths; the clock is `now`, in ms, and only ever set."""

    def __init__(self) -> None:
        self._lua: Any = LuaRuntime(unpack_returned_tuples=True)
        self._lua.execute((_HOME / "redis.lua").read_text(encoding="utf-8"))
        self._simulation = self._lua.globals().simulation
        chunks = {one.stem: one.read_text(encoding="utf-8") for one in _LIB.glob("*.lua")}
        self._admit = self._compiled(assemble(_ADMIT, chunks))
        self._enter, self._leave, self._lease = (
            self._compiled(script(name).source) for name in ("enter", "leave", "lease")
        )
        keys = partition_keys(0, 1)
        names = (keys.ready, keys.turns, keys.clock, keys.wake, keys.paused, keys.aside)
        self._admit_keys = self._table(names)
        self._lease_names = (
            *(keys.deliveries, keys.ready, keys.turns, keys.clock, keys.leased, keys.wake),
            *(keys.paused, keys.aside, keys.seen),
        )
        self._reasons = keys.reasons
        self._grants = keys.grant
        self._seq = 0
        self.calls = 0

    def set_clock(self, ms: int) -> None:
        """It is so late."""
        self._simulation.set_clock(ms)

    def set_price(self, lane: str, cost: int) -> None:
        """What a delivery costs its lane."""
        self._simulation.set_price(lane, cost)

    def waiting(self) -> int:
        """Ready deliveries in all queues."""
        return int(self._simulation.waiting())

    def admit(self, queue: str, lane: str, ms: int, first: int, count: int, attempts: int) -> bool:
        """Make deliveries ready; whether their queue is to be rung."""
        self.calls += 1
        args = self._table((queue, lane, ms, first, count, attempts, DEADLINE_MS))
        return bool(self._admit(self._admit_keys, args))

    def enter(
        self, holder: str, site: str, queue: str, wanted: int, limits: Limits,
        held: list[str], fresh: list[str],
    ) -> Grant:  # fmt: skip
        """scripts/enter.lua."""
        keys = path_keys("", site)
        names = (keys.conns, keys.state, keys.rates, keys.waiting, keys.drawn(holder))
        args = (
            *(self._next(), queue, wanted, LEASE_MS, GRANT_MS, limits.connections, limits.initial),
            *_rate(limits.delivery_rate),
            *_rate(limits.connection_rate),
            len(held),
            *held,
            *fresh,
        )
        return Grant(self._enter(self._table(names), self._table(map(_word, args))))

    def leave(
        self, holder: str, site: str, limits: Limits, tokens: list[str],
        successes: int, failures: int, unused: int, *, prompt: bool,
    ) -> Left:  # fmt: skip
        """scripts/leave.lua."""
        keys = path_keys("", site)
        names = (
            *(keys.conns, keys.state, keys.rates, keys.waiting),
            *(keys.drawn(holder), keys.told(holder)),
        )
        args = (
            *(self._next(), LEASE_MS, limits.connections, limits.initial, successes, failures),
            *("451 simulated" if failures else "", unused, 0),
            *(_rate(limits.delivery_rate)[0], _rate(limits.connection_rate)[0]),
            repr(limits.failed_cohorts),
            *(round(limits.first_pause * 1000), round(limits.longest_pause * 1000)),
            successes if prompt else 0,
            *tokens,
        )
        return Left(self._leave(self._table(names), self._table(map(_word, args))))

    def lease(
        self, holder: str, queues: list[str], each: int, most: int
    ) -> tuple[list[str], list[Run]]:
        """scripts/lease.lua: the queues in which more is ready, and what was leased."""
        names = (*self._lease_names, self._grants(holder), self._reasons)
        args: list[Any] = [holder, self._next(), LEASE_MS, DEADLINE_MS, most]
        for queue in queues:
            args += (queue, each)
        answer = self._lease(self._table(names), self._table(map(_word, args)))
        more = [queue for at, queue in enumerate(queues) if answer[at + 2][1] == 1]
        found = list(self._simulation.leased().values())
        return more, [Run(found[at : at + 6]) for at in range(0, len(found), 6)]

    def _next(self) -> int:
        self.calls += 1
        self._seq += 1
        return self._seq

    def _compiled(self, source: str) -> Any:
        """A script as a function of KEYS and ARGV, without its shebang line."""
        text = source.partition("\n")[2]
        return self._lua.execute(f"return function(KEYS, ARGV) {text}\nend")

    def _table(self, values: Any) -> Any:
        return self._lua.table_from(list(values))


def _rate(rate: Rate | None) -> tuple[int, int]:
    return (rate.every_us, rate.most_at_once) if rate is not None else (0, 1)


def _word(value: Any) -> str:
    """Scripts get their arguments as text."""
    return value if isinstance(value, str) else str(value)
