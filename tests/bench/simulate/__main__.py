"""`python -m tests.bench.simulate`: simulate, print what came of it, and draw it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.simulate import summary
from tests.bench.simulate.fleet import Fleet
from tests.bench.simulate.record import Record
from tests.bench.simulate.world import world

_HOUR, _DAY = 3600 * 1000, 24 * 3600 * 1000


def main() -> int:
    """1 where a limit was exceeded or a message has no outcome."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.simulate", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--domains", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--plot", type=Path, help="where the image goes (nowhere)")
    asked = parser.parse_args()
    began, spent = time.monotonic(), time.process_time()
    console = Console(highlight=False, width=120)
    scene, record = world(asked.messages, asked.domains, hour_ms=_HOUR), Record()
    fleet = Fleet(scene, record, workers=asked.workers)
    fleet.run(_DAY)
    found = summary.figures(scene, record)
    for name, value in found.items():
        console.print(f"{name}: {value:,}")
    table = Table(
        "sites", "count", "delivered", "campaigns done, min", "soonest", "connections", "failed"
    )
    for row in summary.rows(scene, record):
        counts = (row.opened, row.failed)
        table.add_row(
            summary.KINDS[row.kind],
            *(f"{row.sites:,}", f"{row.messages:,}", f"{row.drained_min:,.1f}"),
            f"{row.soonest_min:,.1f}",
            *(f"{count:,}" for count in counts),
        )
    console.print(table)
    took = f"{time.monotonic() - began:.0f} s, CPU {time.process_time() - spent:.0f} s"
    console.print(f"{fleet.now / 60_000:,.0f} minutes, simulated in {took}")
    console.print(f"script calls: {fleet.store.calls:,}")
    if asked.plot:
        asked.plot.write_text(summary.plot(scene, record), encoding="utf-8")
    return 1 if record.beyond or record.final != found["messages"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
