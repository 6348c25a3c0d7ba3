"""Ten minutes with an incident in them, and what the dashboards show of it: `make dashboards`.

    python -m tests.dashboards.incident [--seconds 600] [--out docs/images/dashboards]

One of three large sites goes down after a third of the time and comes back after another third;
halfway through its absence one of two workers is killed. Everything is on loopback.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.dashboards.draw import draw
from tests.dashboards.stage import LARGE, staged

_SCRAPE = 5
_WORKERS = 2


def run(seconds: int, out: Path) -> list[str]:
    """The run and its pictures; what is wrong with them."""
    os.nice(10)
    out.mkdir(parents=True, exist_ok=True)
    variables = {
        "RELAY_LEASE__SECONDS": "10s",
        "RELAY_RETRY__FIRST": "10s",
        "RELAY_METRICS__NAMES": "5",
    }
    with (
        tempfile.TemporaryDirectory(prefix="relay-incident-") as directory,
        staged(
            Path(directory),
            pause=1.0,
            interval=f"{_SCRAPE}s",
            workers=_WORKERS,
            variables=variables,
        ) as stage,
    ):
        time.sleep(seconds / 3)
        stage.site.refuse(LARGE)
        time.sleep(seconds / 6)
        stage.system.workers[0].kill()
        time.sleep(seconds / 6)
        stage.site.listen(LARGE)
        time.sleep(seconds / 3)
        return draw(f"http://127.0.0.1:{stage.prometheus.port}", seconds, _SCRAPE, out)


def main() -> int:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Draw the dashboards over an incident")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--out", type=Path, default=Path("docs/images/dashboards"))
    asked = parser.parse_args()
    wrong = run(asked.seconds, asked.out)
    for fault in wrong:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
