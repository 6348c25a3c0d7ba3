"""Case H: the queue at 0, 100,000 and 1,000,000 waiting deliveries: does a full one cost more?

Three stores run side by side, and the same work is done in each in turn: messages for a thousand
domains are admitted, as many deliveries are leased, many queues a call, and settled, so that the
level stays. Measured is CPU: of this process, which is the client, and of the server.
"""

from __future__ import annotations

from statistics import median

import uvloop

from tests.bench.bare import BareStore, own_cpu_s
from tests.bench.figures import Bar, Case, Figures, Load
from tests.bench.mill import Mill
from tests.bench.stage import Stage

LEVELS = (0, 100_000, 1_000_000)
#: Rounds that warm up: what growing left behind in the servers' memory is gone after them.
_WARM = 40
_ROUNDS = 15
#: Deliveries leased of a queue in one call: what a worker asks for first (relay/delivery/path.py).
_EACH = 4
#: How a level is called in figures.
_NAMES = {0: "empty", 100_000: "100k", 1_000_000: "1m"}

#: Step, level -> (client, server) microseconds a delivery, by round.
_Costs = dict[tuple[str, int], list[tuple[float, float]]]


class _Level:
    """One store at its level."""

    def __init__(self, stage: Stage, waiting: int) -> None:
        load = stage.load
        self.waiting = waiting
        self.store = BareStore(stage.place / f"store-{waiting}")
        #: Octets of memory for each waiting delivery.
        self.octets = 0.0
        self._batch = load.messages
        self._domains = load.domains
        self._turns = 0
        self._content = b"Subject: H\r\n\r\n" + b"x" * (load.octets - 16) + b"\r\n"

    async def fill(self) -> None:
        """Bring it to its level."""
        self.mill = Mill(self.store.url)
        await self.mill.open()
        empty = self.store.used_octets
        self.store.rewrite_by_itself(may=False)
        self.store.sync(always=False)
        queues = [f"d{n % self._domains}.test" for n in range(self._batch)]
        for _ in range(self.waiting // self._batch):
            await self.mill.admit(queues, self._content)
        self.octets = (self.store.used_octets - empty) / (self.waiting or 1)
        self.store.sync(always=True)

    async def turn(self, costs: _Costs) -> None:
        """Admit a batch, lease as many, and settle them."""
        first = self._turns * self._batch // _EACH
        self._turns += 1
        queues = [f"d{(first + n) % self._domains}.test" for n in range(self._batch // _EACH)]
        since = self._now()
        await self.mill.admit(queues * _EACH, self._content)
        since = self._note(costs, "admit", since)
        leases = await self.mill.lease(queues, _EACH)
        since = self._note(costs, "lease", since)
        await self.mill.settle(leases)
        self._note(costs, "settle", since)
        if len(leases) != self._batch:
            raise RuntimeError(f"{len(leases)} of {self._batch} deliveries were leased")

    def _now(self) -> tuple[float, float]:
        return own_cpu_s(), self.store.cpu_s

    def _note(self, costs: _Costs, step: str, since: tuple[float, float]) -> tuple[float, float]:
        now = self._now()
        client, server = ((a - b) / self._batch * 1e6 for a, b in zip(now, since, strict=True))
        costs.setdefault((step, self.waiting), []).append((client, server))
        return now


def crowded(stage: Stage) -> Figures:
    """The same work at each level, in turn."""
    measured = stage.measured()
    levels = [_Level(stage, waiting) for waiting in LEVELS]
    try:
        costs = uvloop.run(_measured(levels))
    finally:
        for level in levels:
            level.store.stop()
    return {"foreign_cpu": measured.end(0)["foreign_cpu"]} | _figures(costs, levels)


async def _measured(levels: list[_Level]) -> _Costs:
    costs: _Costs = {}
    for level in levels:
        await level.fill()
    for number in range(_WARM + _ROUNDS):
        for level in levels[:: -1 if number % 2 else 1]:
            await level.turn(costs if number >= _WARM else {})
    for level in levels:
        await level.mill.close()
    return costs


def _figures(costs: _Costs, levels: list[_Level]) -> Figures:
    figures: Figures = {"rounds": _ROUNDS, "through": True}
    for (step, waiting), rounds in costs.items():
        name = f"{step}_{_NAMES[waiting]}"
        figures[f"{name}_us"] = round(median(map(sum, rounds)), 1)
        for k, side in enumerate(("client", "server")):
            figures[f"{name}_{side}_us"] = round(median(one[k] for one in rounds), 1)
    for step in ("admit", "lease", "settle"):
        least = figures[f"{step}_empty_us"]
        for level in levels[1:]:
            name = f"{step}_{_NAMES[level.waiting]}"
            figures[f"{name}_growth"] = round(figures[f"{name}_us"] / least, 3)
    figures["octets_each"] = round(levels[-1].octets)
    return figures


CASE = Case(
    name="H",
    title="the queue at 0, 100,000 and 1,000,000 waiting deliveries, 1,000 domains",
    load=Load(messages=2000, octets=256, domains=1000),
    script=crowded,
    bars=(
        Bar("admit_1m_growth", "at most", 1.3),
        Bar("lease_1m_growth", "at most", 1.3),
    ),
    systems=("relay",),
    limit=300.0,
    shown={
        f"{step}_{level}_us": f"{step} us {level}"
        for step in ("admit", "lease")
        for level in ("empty", "100k", "1m")
    },
)
