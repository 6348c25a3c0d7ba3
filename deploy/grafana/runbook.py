"""Runbook: the pages of docs/operations inside Grafana, where whoever is paged looks already."""

from __future__ import annotations

import re
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, text
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.text import TextMode

from deploy.grafana.panels import RUNBOOK, TAG

UID = "relay-runbook"
PAGES = Path(__file__).parents[2] / "docs" / "operations"
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
#: Characters in a line of a panel as wide as the dashboard, and lines in a step of its height.
_LINE, _LINES = 170, 1.4


def build() -> model.Dashboard:
    """A panel for each page, the list of all alerts first."""
    built = (
        dashboard.Dashboard("Relay / Runbook")
        .uid(UID)
        .description("What each alert means, what to look at, and what to do.")
        .tags([TAG])
        .timezone("browser")
    )
    top = 0
    for name, number in _numbers().items():
        page = (PAGES / name).read_text(encoding="utf-8")
        title, _, body = page.partition("\n")
        tall = _height(body)
        place = model.GridPos(x=0, y=top, w=24, h=tall)
        panel = text.Panel().title(title.removeprefix("# ")).id(number).grid_pos(place)
        built = built.with_panel(panel.mode(TextMode.MARKDOWN).content(within(body.strip())))
        top += tall
    return built.build()


def within(body: str) -> str:
    """A page's text with its links leading to panels; what is not in Grafana is named alone."""
    numbers = _numbers()

    def lead(found: re.Match[str]) -> str:
        words, target = found[1], found[2].partition("#")[0]
        if target.startswith("https:"):
            return found[0]
        return f"[{words}]({RUNBOOK}?viewPanel={numbers[target]})" if target in numbers else words

    return _LINK.sub(lead, body)


def _numbers() -> dict[str, int]:
    names = sorted(path.name for path in PAGES.glob("*.md") if path.name != "README.md")
    return {name: number for number, name in enumerate(["README.md", *names], 1)}


def _height(body: str) -> int:
    lines = sum(1 + len(line) // _LINE for line in body.splitlines())
    return 3 + round(lines / _LINES)
