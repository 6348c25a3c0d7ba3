"""The plots of the benchmark say what its figures say."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench.cases import all_cases
from tests.bench.figures import Figures
from tests.bench.plots import draw

_SVG = "{http://www.w3.org/2000/svg}"


def run(case: str, system: str, **figures: float | bool) -> Figures:
    return {"case": case, "system": system, "foreign_cpu": 0.0, "through": True, **figures}


def drawn(place: Path, name: str, results: list[Figures]) -> tuple[list[str], dict[str, float]]:
    """The texts of an image, and the widths of its bars by their class."""
    draw(all_cases(), results, place)
    root = ElementTree.parse(place / f"bench-{name}.svg").getroot()
    texts = [one.text or "" for one in root.iter(f"{_SVG}text")]
    bars = [one for one in root.iter(f"{_SVG}rect") if one.get("class")]
    return texts, {one.get("class", ""): float(one.get("width", "0")) for one in bars}


def test_a_bar_is_as_long_as_the_median_of_the_runs_and_says_its_ratio(tmp_path: Path) -> None:
    results = [run("A", "relay", delivered_per_s=value) for value in (3900.0, 4000.0, 5000.0)]
    results.append(run("A", "postfix", delivered_per_s=1000.0))
    texts, widths = drawn(tmp_path, "delivered", results)
    assert "4,000 (4 x)" in texts
    assert "1,000" in texts
    assert widths["ours"] == pytest.approx(4 * widths["other"], rel=0.01)


def test_a_run_that_was_not_done_in_time_says_how_far_it_got(tmp_path: Path) -> None:
    results = [
        run("B", "postfix", healthy_s=12.0),
        run("F", "postfix", healthy_s=80.0, delivered=1911, through=False),
    ]
    texts, widths = drawn(tmp_path, "tarpits", results)
    assert "only 1,911 got through" in texts
    assert "other part" in widths


def test_with_tarpits_a_system_is_compared_with_itself_without(tmp_path: Path) -> None:
    results = [run("B", "relay", healthy_s=2.0), run("D", "relay", healthy_s=2.2)]
    texts, _ = drawn(tmp_path, "tarpits", results)
    assert "2.2 (1.1 x)" in texts


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    paths = draw(all_cases(), [run("A", "relay", delivered_per_s=1.0)], tmp_path)
    assert [path.name for path in paths] == ["bench-delivered.svg"]
