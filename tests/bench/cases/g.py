"""Case G: every destination takes its time, as real ones do: what counts is how many at once.

Relay does it with 1, 2 and 4 worker processes, which should gain until the cores are busy. That is
looked at while mail comes in: after that comes what the destinations take, when nobody has work.
On few cores one worker keeps them busy. So it is done once more with workers that have as many
slots as the peers have, of which each further one has to gain.
"""

from __future__ import annotations

from itertools import pairwise

from tests.bench.figures import Bar, Case, Delay, Figures, Load
from tests.bench.stage import Stage, relayed
from tests.bench.systems.relay import Relay

_WORKERS = (1, 2, 4)
#: A machine that is so busy has nothing to give to another worker.
_BUSY = 0.85
#: Attempts at once in a worker that has few.
_FEW = 100
_SUMS = ("missing", "doubled", "strange", "damaged", "accept_failed")
_COUNTS = ("lost_leases", "possible_doubles")


def slowly_taken(stage: Stage) -> Figures:
    """With each number of workers, one after the other; once for a system that is not Relay."""
    if not isinstance(stage.system, Relay):
        return relayed(stage)
    runs, few = _series(stage, stage.system, 0), _series(stage, stage.system, _FEW)
    figures = dict(runs[_WORKERS[0]])
    for workers in _WORKERS:
        figures[f"delivered_per_s_{workers}"] = runs[workers]["delivered_per_s"]
        figures[f"busy_{workers}"] = runs[workers]["busy"]
        figures[f"delivered_per_s_few_{workers}"] = few[workers]["delivered_per_s"]
    every = [*runs.values(), *few.values()]
    for name in (*_SUMS, *_COUNTS):
        figures[name] = sum(run.get(name) or 0 for run in every)
    figures["through"] = all(run["through"] for run in every)
    figures["foreign_cpu"] = max(run["foreign_cpu"] for run in every)
    figures["grows"] = int(
        all(_gains(runs, *pair) or runs[pair[0]]["busy"] >= _BUSY for pair in pairwise(_WORKERS))
    )
    figures["grows_few"] = int(all(_gains(few, *pair) for pair in pairwise(_WORKERS)))
    return figures


def _series(stage: Stage, system: Relay, attempts: int) -> dict[int, Figures]:
    runs = {}
    for workers in _WORKERS:
        system.workers, system.attempts = workers, attempts
        runs[workers] = relayed(stage)
    return runs


def _gains(runs: dict[int, Figures], fewer: int, more: int) -> bool:
    return bool(runs[more]["delivered_per_s"] > runs[fewer]["delivered_per_s"])


def _title(workers: int) -> str:
    return f"{workers} worker{'s'[: workers - 1]}"


CASE = Case(
    name="G",
    title="300 ms at DATA everywhere, 5,000 messages, 100 domains",
    load=Load(messages=5000, domains=100),
    script=slowly_taken,
    healthy=Delay(0.3, "data"),
    bars=(
        Bar("delivered_per_s", "at least", 2000),
        Bar("grows", "at least", 1),
        Bar("grows_few", "at least", 1),
    ),
    shown={f"delivered_per_s_{n}": f"delivered/s, {_title(n)}" for n in _WORKERS}
    | {f"busy_{n}": f"cores busy while mail came in, {n}" for n in _WORKERS}
    | {f"delivered_per_s_few_{n}": f"delivered/s, {_title(n)} of {_FEW} slots" for n in _WORKERS},
)
