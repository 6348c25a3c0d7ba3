"""Draws every dashboard with Grafana's own component library, in a headless Chromium.

    python -m tests.dashboards.draw http://127.0.0.1:9090 [--seconds 600] [--out docs/images]

It is no Grafana: what is Grafana's here are the layout, variables, field configuration,
transformations and the panels' components; the glue between them is in deploy/grafana/draw. Ends
with 1 where a query fails or a panel is empty that should not be.
"""

from __future__ import annotations

import argparse
import http.server
import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.dashboards.test_boards import PATHS
from tests.dashboards.test_queries import EMPTY
from tests.support.programs import program
from tests.support.relay import ROOT

DRAW = ROOT / "deploy" / "grafana" / "draw"
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PANELS = """() => [...document.querySelectorAll('[data-testid^="data-testid Panel header"]')].map(
  (one) => ({
    title: one.getAttribute('data-testid').replace('data-testid Panel header ', ''),
    drawn: one.querySelectorAll('canvas, svg[data-heat], [role=grid]').length
      + (one.querySelector('[data-testid="data-testid panel content"]')?.innerText ?? '').length,
    nothing: one.querySelectorAll('[data-nothing]').length,
  }))"""
#: Milliseconds that a dashboard has to ask and draw.
_PATIENCE = 60_000


class _Server(http.server.SimpleHTTPRequestHandler):
    """The built page, the dashboards, and Prometheus behind /prometheus: one origin."""

    prometheus = ""

    def do_GET(self) -> None:
        """A file, or Prometheus' own answer."""
        if self.path.startswith("/prometheus/"):
            self._hand_on(self.prometheus + self.path.removeprefix("/prometheus"))
        else:
            super().do_GET()

    def translate_path(self, path: str) -> str:
        """Dashboards and icons lie elsewhere than the page."""
        name = path.partition("?")[0]
        if name.startswith("/boards/"):
            return str(ROOT / "deploy" / "grafana" / "dashboards" / Path(name).name)
        icons = "/public/img/"
        if name.startswith(icons):
            home = DRAW / "node_modules" / "@grafana" / "ui" / "dist" / "public" / "img"
            return str(home / Path("/" + name.removeprefix(icons)).resolve().relative_to("/"))
        return super().translate_path(path)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nothing is said of each request."""

    def _hand_on(self, url: str) -> None:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                status, body = refused.code, refused.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def served(prometheus: str) -> Iterator[str]:
    """The address of the page."""
    handler = type("Server", (_Server,), {"prometheus": prometheus.rstrip("/")})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(handler, directory=str(DRAW / "dist"))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def draw(prometheus: str, seconds: int, scrape: int, out: Path | None) -> list[str]:
    """Draw all dashboards over the last `seconds`; what is wrong with them."""
    wrong: list[str] = []
    end = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    times = [f"{moment.isoformat()}.000Z" for moment in (end - timedelta(seconds=seconds), end)]
    with served(prometheus) as page, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=list(_QUIET))
        for path in PATHS:
            asked = f"board={path.stem}&from={times[0]}&to={times[1]}&scrape={scrape}"
            found = _board(browser, f"{page}/?{asked}", path, out)
            wrong += [f"{path.stem}: {fault}" for fault in found]
        browser.close()
    return wrong


def _board(browser: Browser, url: str, path: Path, out: Path | None) -> list[str]:
    board = json.loads(path.read_text(encoding="utf-8"))
    titles = [panel["title"] for panel in board["panels"] if panel["type"] != "row"]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    page = browser.new_page(viewport={"width": 1500, "height": bottom * 38 + 120})
    page.goto(url)
    deadline = time.monotonic() + _PATIENCE / 1000
    while True:
        panels = page.evaluate(_PANELS)
        done = [one for one in panels if one["drawn"] or one["nothing"]]
        if len(done) == len(titles) or time.monotonic() > deadline:
            break
        page.wait_for_timeout(500)
    # What is drawn last are the legends.
    page.wait_for_timeout(2000)
    # Pages of words are in docs/operations already.
    if out is not None and any("targets" in panel for panel in board["panels"]):
        page.screenshot(path=out / f"{path.stem}.png")
    faults = list(dict.fromkeys(page.evaluate("window.errors")))
    shown = {one["title"] for one in page.evaluate(_PANELS) if not one["nothing"]}
    faults += [f"{title!r} is empty" for title in titles if title not in shown | EMPTY.keys()]
    page.close()
    return faults


def main() -> int:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Draw the dashboards")
    parser.add_argument("prometheus", help="where Prometheus is")
    parser.add_argument("--seconds", type=int, default=3600, help="how far back")
    parser.add_argument("--scrape", type=int, default=15, help="seconds between two scrapes")
    parser.add_argument("--out", type=Path, help="a directory for the pictures")
    asked = parser.parse_args()
    wrong = draw(asked.prometheus, asked.seconds, asked.scrape, asked.out)
    for fault in wrong:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
