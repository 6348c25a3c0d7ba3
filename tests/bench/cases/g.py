"""Case G: every destination takes its time, as real ones do: what counts is how many at once.

Relay does it with 1, 2 and 4 worker processes, which should gain until the cores are busy. That is
looked at while mail comes in: after that comes what the destinations take, when nobody has work.
"""

from __future__ import annotations

from itertools import pairwise

from tests.bench.figures import Bar, Case, Delay, Figures, Load
from tests.bench.stage import Stage, relayed
from tests.bench.systems.relay import Relay

_WORKERS = (1, 2, 4)
#: A machine that is so busy has nothing to give to another worker.
_BUSY = 0.85
_SUMS = ("missing", "doubled", "strange", "damaged", "accept_failed")
_COUNTS = ("lost_leases", "possible_doubles")


def slowly_taken(stage: Stage) -> Figures:
    """With each number of workers, one after the other; once for a system that is not Relay."""
    if not isinstance(stage.system, Relay):
        return relayed(stage)
    runs = {}
    for workers in _WORKERS:
        stage.system.workers = workers
        runs[workers] = relayed(stage)
    figures = dict(runs[_WORKERS[0]])
    for workers, run in runs.items():
        figures[f"delivered_per_s_{workers}"] = run["delivered_per_s"]
        figures[f"busy_{workers}"] = run["busy"]
    for name in (*_SUMS, *_COUNTS):
        figures[name] = sum(run.get(name) or 0 for run in runs.values())
    figures["through"] = all(run["through"] for run in runs.values())
    figures["foreign_cpu"] = max(run["foreign_cpu"] for run in runs.values())
    figures["grows"] = int(
        all(
            runs[more]["delivered_per_s"] > runs[fewer]["delivered_per_s"]
            or figures[f"busy_{fewer}"] >= _BUSY
            for fewer, more in pairwise(_WORKERS)
        )
    )
    return figures


CASE = Case(
    name="G",
    title="300 ms at DATA everywhere, 5,000 messages, 100 domains",
    load=Load(messages=5000, domains=100),
    script=slowly_taken,
    healthy=Delay(0.3, "data"),
    bars=(
        Bar("delivered_per_s", "at least", 2000),
        Bar("grows", "at least", 1),
    ),
    shown={f"delivered_per_s_{n}": f"delivered/s, {n} worker{'s'[: n - 1]}" for n in _WORKERS}
    | {f"busy_{n}": f"cores busy while mail came in, {n}" for n in _WORKERS},
)
