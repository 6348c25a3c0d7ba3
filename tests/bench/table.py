"""The table: medians of a run's figures by case and system, their ratios, and the bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.bench.checks import is_right
from tests.bench.figures import Bar, Case, Figures

#: A run in which others took more than this share of a core counts only where there is no better.
DISTURBED = 0.25
_COMMON = {
    "accepted_per_s": "accepted/s",
    "delivered_per_s": "delivered/s",
    "healthy_s": "s in all",
    "cpu_ms": "CPU ms each",
    "latency_p99_ms": "p99 ms to the sink",
    "peak_rss_mb": "peak RSS MB",
}

#: Whose bars they are, and whose ratio to each other system is shown.
_OURS = "relay"

#: Case, system -> its runs.
Runs = Mapping[tuple[str, str], Sequence[Figures]]


def by_case(results: Sequence[Figures]) -> dict[tuple[str, str], list[Figures]]:
    """Results by case and system, without those that failed and the disturbed where others are."""
    runs: dict[tuple[str, str], list[Figures]] = {}
    for one in results:
        if "error" not in one:
            runs.setdefault((one["case"], one["system"]), []).append(one)
    for key, some in runs.items():
        calm = [one for one in some if one.get("foreign_cpu", 0.0) <= DISTURBED]
        runs[key] = calm or some
    return runs


def middle(runs: Sequence[Figures], name: str) -> float | None:
    """The median of a figure; None where no run has it."""
    values = [one[name] for one in runs if one.get(name) is not None]
    return median(values) if values else None


def show(cases: Mapping[str, Case], results: Sequence[Figures], console: Console) -> None:
    """Print a table for each case, then what is met of its bars."""
    runs = by_case(results)
    verdicts = []
    for case in cases.values():
        systems = [system for name, system in runs if name == case.name]
        if systems:
            console.print(_table(case, systems, runs))
            for bar in case.bars if _OURS in systems else ():
                verdicts.append(verdict(case, bar, runs))
                console.print(f"  {verdicts[-1]}")
            console.print()
    words = [one.rpartition(", ")[2].rpartition(": ")[2] for one in verdicts]
    counts = (f"{words.count(word)} {word}" for word in ("met", "NOT met", "not measured"))
    for line in _durability(results):
        console.print(line)
    console.print(f"Bars: {', '.join(counts)}")


def _durability(results: Sequence[Figures]) -> list[str]:
    """What has happened to a message before its 250, as each system said it."""
    said = {(one["system"], one["durability"]) for one in results if one.get("durability")}
    return [f"Before the 250 of {system}: {text}" for system, text in sorted(said)]


def _table(case: Case, systems: Sequence[str], runs: Runs) -> Table:
    known = {name for system in systems for one in runs[case.name, system] for name in one}
    columns = {k: v for k, v in (_COMMON | case.shown).items() if k in known}
    table = Table(title=f"{case.name}: {case.title}", title_justify="left")
    for heading in ("", "n", *columns.values(), "foreign CPU", "right", "lost leases, doubles?"):
        table.add_column(heading, justify="left" if not heading else "right")
    for system in systems:
        some = runs[case.name, system]
        calm = all(one.get("foreign_cpu", 0.0) <= DISTURBED for one in some)
        foreign = f"{middle(some, 'foreign_cpu') or 0:.0%}{'' if calm else ' !'}"
        right = "yes" if all(is_right(one) for one in some) else "NO"
        cells = [number(middle(some, name)) for name in columns]
        table.add_row(system, str(len(some)), *cells, foreign, right, _own_count(some))
    for system in systems:
        if _OURS in systems and system != _OURS:
            ours, theirs = runs[case.name, _OURS], runs[case.name, system]
            ratios = (_ratio(ours, theirs, name) for name in columns)
            table.add_row(f"{_OURS} : {system}", "", *ratios, "", "", "")
    return table


def _own_count(runs: Sequence[Figures]) -> str:
    """What the system itself says it lost hold of, and may have sent twice, in all runs."""
    sums = [
        sum(one[name] for one in runs if one.get(name) is not None)
        for name in ("lost_leases", "possible_doubles")
        if any(one.get(name) is not None for one in runs)
    ]
    return ", ".join(map(str, sums))


def _ratio(first: Sequence[Figures], second: Sequence[Figures], name: str) -> str:
    above, below = middle(first, name), middle(second, name)
    return f"{above / below:.2f} x" if above is not None and below else ""


def number(value: float | None) -> str:
    """A number with as many digits as it can mean."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def verdict(case: Case, bar: Bar, runs: Runs) -> str:
    """One line: the bar, what Relay reached, and whether that is enough."""
    value = middle(runs.get((case.name, _OURS), ()), bar.figure)
    base: float | None = 1.0
    if bar.than:
        there = (bar.than, _OURS) if bar.than.isupper() else (case.name, bar.than)
        base = middle(runs.get(there, ()), bar.figure)
    if value is None or base is None:
        return f"{bar.text()}: not measured"
    reached = f"{value / base:.2f} x" if bar.than else number(value)
    return f"{bar.text()}: {reached}, {'met' if bar.met(value, base) else 'NOT met'}"
