"""The table of the benchmark says which bars are met, and what was not right."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.bench.cases import all_cases
from tests.bench.checks import is_right, verdict
from tests.bench.figures import Figures, Load
from tests.bench.sink import Arrival
from tests.bench.table import show


def run(case: str, system: str, **figures: float | bool) -> Figures:
    return {"case": case, "system": system, "foreign_cpu": 0.0, "through": True, **figures}


def shown(results: list[Figures]) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    show(all_cases(), results, console)
    assert isinstance(console.file, io.StringIO)
    return [line.strip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("delivered", "says"), [(4000.0, "4.00 x, met"), (3990.0, "3.99 x, NOT met")]
)
def test_a_bar_is_met_exactly_where_its_ratio_is_reached(delivered: float, says: str) -> None:
    lines = shown(
        [
            run("A", "relay", delivered_per_s=delivered),
            run("A", "postfix", delivered_per_s=1000.0),
        ]
    )
    assert f"delivered_per_s >= 4 x postfix: {says}" in lines
    assert "delivered_per_s >= 2 x slimta: not measured" in lines


def test_a_case_with_tarpits_is_held_against_the_one_without() -> None:
    lines = shown([run("B", "relay", healthy_s=10.0), run("DB", "relay", healthy_s=11.6)])
    assert "healthy_s <= 1.15 x B: 1.16 x, NOT met" in lines


def test_durability_and_the_count_of_bars_stand_at_the_end() -> None:
    lines = shown([run("J", "relay", idle_percent=0.4) | {"durability": "fsync of a file"}])
    assert lines[-2] == "Before the 250 of relay: fsync of a file"
    assert lines[-1] == "Bars: 1 met, 0 NOT met, 0 not measured"


@pytest.mark.parametrize("fault", ["missing", "doubled", "lost_leases", "possible_doubles"])
def test_a_run_is_not_right_where_anything_was_lost_or_doubled(fault: str) -> None:
    assert is_right({"missing": 0, "doubled": 0, "lost_leases": None})
    assert not is_right({"missing": 0, "doubled": 0, fault: 1})


def test_each_id_is_counted_at_the_sink() -> None:
    load = Load(messages=4, domains=2, tarpits=1)
    ids = (1, 1, 7)
    arrivals = [Arrival(0, 0, 0, message, 0, 100, 0) for message in ids]
    found = verdict(load, 100, arrivals)
    # 0 and 2 are a tarpit's, so only 3 is missing; 1 came twice; nobody sent 7.
    assert (found["missing"], found["doubled"], found["strange"]) == (1, 1, 1)
    assert verdict(load, 99, arrivals)["damaged"] == 3
