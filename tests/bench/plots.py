"""The plots: a run's figures as SVG, a panel for each case and a bar for each system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from tests.bench.figures import Case, Figures
from tests.bench.svg import Bar, Panel, drawn
from tests.bench.table import Runs, by_case, middle, number

_OURS = "relay"
#: How systems are called, in the order of their bars.
_NAMES = {
    "relay": "Relay",
    "postfix": "Postfix, tuned",
    "slimta": "python-slimta",
    "celery": "naive Celery",
    "haraka": "Haraka",
}


class Plot(Struct, frozen=True):
    """One image."""

    name: str
    title: str
    #: What the bars are, and how they read.
    note: str
    #: The figures that are drawn, each in a panel of its own, and what its title adds.
    figures: Mapping[str, str]
    #: Whether a case belongs in it.
    wanted: Callable[[Case], bool]
    #: What ratios are to: a system in the same case, or the same system in another case.
    base: str = "postfix"


#: Cases that are about how much gets through.
_FLOWS = ("A", "B", "C", "E", "G")


def _flows(case: Case) -> bool:
    return case.name in _FLOWS


PLOTS = (
    Plot(
        "delivered",
        "Delivered a second",
        "recipients a second at the sink; longer is better; x is to tuned Postfix",
        {"delivered_per_s": ""},
        _flows,
    ),
    Plot(
        "cpu",
        "CPU for each recipient",
        "ms, all processes and the store; shorter is better; x is to tuned Postfix",
        {"cpu_ms": ""},
        _flows,
    ),
    Plot(
        "tarpits",
        "Healthy domains, while others tarpit",
        "seconds until all healthy domains have their messages; x is to the same system in case B",
        {"healthy_s": ""},
        lambda case: case.name == "B" or case.tarpit is not None,
        base="B",
    ),
    Plot(
        "latency",
        "From the first octet to the sink",
        "ms; shorter is better; x is to tuned Postfix",
        {"latency_p50_ms": ", median", "latency_p99_ms": ", 99 %"},
        lambda case: bool(case.load.rate),
    ),
)


def draw(cases: Mapping[str, Case], results: Sequence[Figures], directory: Path) -> list[Path]:
    """Draw every plot that the results have figures for, into bench-NAME.svg; their paths."""
    runs = by_case(results)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for plot in PLOTS:
        drawn_cases = [case for case in cases.values() if plot.wanted(case)]
        every = [_panel(plot, case, name, runs) for case in drawn_cases for name in plot.figures]
        panels = [panel for panel in every if panel.bars]
        if panels:
            path = directory / f"bench-{plot.name}.svg"
            path.write_text(drawn(plot.title, plot.note, panels), encoding="utf-8")
            paths.append(path)
    return paths


def _panel(plot: Plot, case: Case, figure: str, runs: Runs) -> Panel:
    bars = []
    for system, title in _NAMES.items():
        there = (plot.base, system) if plot.base.isupper() else (case.name, plot.base)
        base = None if there == (case.name, system) else middle(runs.get(there, ()), figure)
        bar = _bar(runs.get((case.name, system), ()), figure, base)
        if bar is not None:
            bars.append(Bar(title, ours=system == _OURS, **bar))
    return Panel(f"{case.name}: {case.title}{plot.figures[figure]}", tuple(bars))


def _bar(runs: Sequence[Figures], figure: str, base: float | None) -> Figures | None:
    """Value, range and text of a bar; None where it was not measured."""
    value = middle(runs, figure)
    if value is None:
        return None
    text = number(value)
    unfinished = [one for one in runs if not one.get("through", True)]
    if unfinished:
        text = f"only {number(middle(unfinished, 'delivered'))} got through"
    elif base:
        text += f" ({value / base:.3g} x)"
    values = [one[figure] for one in runs if one.get(figure) is not None]
    return {
        "value": value,
        "least": min(values),
        "most": max(values),
        "text": text,
        "whole": not unfinished,
    }
