"""Case I: large messages: what a core carries, and how much memory each process takes meanwhile.

Sizes follow one another, each with the system started afresh. The bars say what is bounded: by its
settings a worker has 64 MiB of content in hand at most, and reception 256 MiB; what a process takes
for itself comes on top. The store is bounded by its maxmemory.
"""

from __future__ import annotations

from msgspec import structs

from tests.bench.figures import Bar, Case, Figures, Load
from tests.bench.stage import Stage, relayed

#: Octets of a message -> how many are sent, and how the size is called in figures.
_SMALLEST = 20_000
_SIZES = {
    4 << 10: (_SMALLEST, "4k"),
    100 << 10: (3000, "100k"),
    1 << 20: (400, "1m"),
    10 << 20: (40, "10m"),
}
#: MB that a process may take at most: of content by its settings, and for itself.
_BOUNDS = {"worker": 64 + 128, "smtp": 256 + 64}
#: What must be right, summed over all sizes; and figures of which the worst counts.
_SUMS = (
    "missing",
    "doubled",
    "strange",
    "damaged",
    "accept_failed",
    "lost_leases",
    "possible_doubles",
)
_WORST = ("foreign_cpu", "peak_rss_mb")
_MEGA = 1e6


def sized(stage: Stage) -> Figures:
    """The same for each size."""
    figures: Figures = {"through": True}
    for octets, (messages, name) in _SIZES.items():
        share = max(messages * stage.load.messages // _SMALLEST, 1)
        load = structs.replace(stage.load, messages=share, octets=octets)
        found = relayed(Stage(stage.case, load, stage.system, stage.sandbox, stage.place))
        seconds, core_seconds = found["healthy_s"], found["cpu_ms"] * found["delivered"] / 1000
        mega = found["delivered"] * octets / _MEGA
        figures |= {
            f"mb_per_s_{name}": round(mega / seconds, 1) if seconds else 0.0,
            f"mb_per_core_s_{name}": round(mega / core_seconds, 1) if core_seconds else 0.0,
            f"ack_p99_ms_{name}": found["ack_p99_ms"],
            f"largest_mb_{name}": found["largest_mb"],
            f"worker_mb_{name}": found["largest_mb"].get("worker"),
            f"smtp_mb_{name}": found["largest_mb"].get("smtp"),
        }
        figures["through"] &= found["through"]
        for figure in _SUMS:
            figures[figure] = figures.get(figure, 0) + (found.get(figure) or 0)
        for figure in _WORST:
            figures[figure] = max(figures.get(figure, 0), found[figure])
    return figures


CASE = Case(
    name="I",
    title="4 KiB, 100 KiB, 1 MiB and 10 MiB messages, 10 domains",
    # The count of the smallest; of the others there are as many less as said above.
    load=Load(messages=_SMALLEST, domains=10),
    script=sized,
    bars=tuple(
        Bar(f"{role}_mb_{name}", "at most", bound)
        for name in ("1m", "10m")
        for role, bound in _BOUNDS.items()
    ),
    systems=("relay", "postfix"),
    shown={f"mb_per_core_s_{name}": f"MB per core second, {name}" for _, name in _SIZES.values()}
    | {f"{role}_mb_10m": f"{role} MB, 10m" for role in ("worker", "smtp")},
)
