"""The dashboards as files: what the code makes, and nothing that Grafana would not know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.__main__ import BOARDS, HOME, files
from deploy.grafana.panels import within
from relay import metrics
from relay.metrics.document import entries
from tests.support.relay import ROOT

PATHS = sorted(HOME.glob("*.json"))
_NAME = re.compile(r"\b(relay_[a-z0-9_]+)")
#: Metrics that no panel and no alert asks for, and why.
UNUSED: dict[str, str] = {}

register_default_plugins()


def load(name: str) -> dict[str, Any]:
    board: dict[str, Any] = json.loads((HOME / name).read_text(encoding="utf-8"))
    return board


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def asked_for() -> set[str]:
    """Every metric that a panel, a rule or an alert names."""
    texts = [path.read_text(encoding="utf-8") for path in PATHS]
    rules = ROOT / "deploy" / "prometheus"
    texts += [(rules / name).read_text(encoding="utf-8") for name in ("rules.yml", "alerts.yml")]
    return {name for text in texts for name in _NAME.findall(text)}


def series() -> dict[str, str]:
    """Every series' name, and its instrument."""
    parts = {"histogram": ("_bucket", "_count", "_sum"), "gaugehistogram": ("_bucket",)}
    return {
        entry.name + part: entry.name
        for entry in entries(metrics.FLEET.collect())
        for part in parts.get(entry.kind, ("",))
    }


def test_the_files_are_what_the_code_makes() -> None:
    made = files()
    assert [path.name for path in PATHS] == sorted(made)
    for path in PATHS:
        assert path.read_text(encoding="utf-8") == made[path.name], "run: make docs"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_nothing_is_dropped_on_a_way_through_the_sdk(path: Any) -> None:
    # A key that Grafana's schema does not know is a typo, and Grafana would ignore it.
    before = load(path.name)
    after = json.loads(JSONEncoder().encode(Dashboard.from_json(before)))
    assert list(dropped(before, after)) == []


def test_a_typo_would_be_dropped() -> None:
    board = load(PATHS[0].name)
    panel = panels(board)[0]
    panel["targets"][0]["exprr"] = "1"
    panel["gridPos"]["hh"] = 1
    after = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert len(list(dropped(board, after))) == 2


def dropped(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """The keys of `before` that `after` lacks, or has another value for."""
    if isinstance(before, dict):
        for key, value in before.items():
            if not isinstance(after, dict) or key not in after:
                yield f"{where}.{key}"
            else:
                yield from dropped(value, after[key], f"{where}.{key}")
    elif isinstance(before, list):
        for at, value in enumerate(before):
            yield from dropped(value, after[at] if at < len(after) else None, f"{where}[{at}]")
    elif before != after:
        yield where


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_panel_says_what_it_shows(board: Any) -> None:
    for _, row in board.rows:
        for panel in row:
            assert panel.title
            assert panel.says.endswith("."), panel.title


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_no_two_panels_share_a_place_or_an_id(path: Any) -> None:
    board = load(path.name)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


def test_every_metric_that_is_asked_for_is_there() -> None:
    known = series()
    assert not {name for name in asked_for() if name not in known}


def test_every_metric_is_asked_for_somewhere() -> None:
    used = {instrument for name, instrument in series().items() if name in asked_for()}
    missing = set(series().values()) - used - UNUSED.keys()
    assert not missing, "give them a panel or an alert, or say in UNUSED why they have none"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("relay_a", 'relay_a{environment=~"$environment"}'),
        ('sum by (up) (rate(up{role="x"}[RATE]))',
         'sum by (up) (rate(up{environment=~"$environment", role="x"}[$__rate_interval]))'),
        ("relay:a:b / on (relay_x) relay_c",
         'relay:a:b{environment=~"$environment"} / on (relay_x) '
         'relay_c{environment=~"$environment"}'),
        ("process_a - time()", 'process_a{environment=~"$environment"} - time()'),
    ],
)  # fmt: skip
def test_every_selector_gets_the_environment(said: str, meant: str) -> None:
    assert within(said) == meant
