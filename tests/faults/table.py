"""The table of docs/reliability.md, written from a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.faults.overheard import Heard
from tests.faults.row import Row

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- faults -->\n", "<!-- /faults -->\n"
_HEAD = (
    "| fault | command | times | accepted | lost | doubled | possible doubles counted | seconds to "
    "recover |\n|---|---|---|---|---|---|---|---|\n"
)


def lines(rows: Sequence[Row]) -> str:
    """The rows and their sum, in Markdown."""
    text = _HEAD
    for one in rows:
        found = one.verdict
        text += (
            f"| {one.fault.words} | `make faults ARGS={one.fault.name}` | {one.tried} | "
            f"{found.accepted:,} | {found.lost} | {found.doubled} | {found.possible} | "
            f"{one.recovered:.0f} |\n"
        )
    sums = {
        name: sum(getattr(one.verdict, name) for one in rows)
        for name in ("accepted", "lost", "doubled", "possible")
    }
    tried, kills = sum(one.tried for one in rows), sum(one.kills for one in rows)
    text += (
        f"| **all**: {kills} processes killed with `kill -9` | `make faults` | {tried} | "
        f"{sums['accepted']:,} | {sums['lost']} | {sums['doubled']} | {sums['possible']} | |\n"
    )
    return text + _overheard(rows)


def _overheard(rows: Sequence[Row]) -> str:
    """What the store heard in those rows in which somebody listened."""
    every = Heard()
    for one in rows:
        every.add(one.heard)
    if not every.commands:
        return ""
    longest = max((ms for _, ms in every.slow), default=0.0)
    slow = f"{len(every.slow)} of them took more than 5 ms (the longest {longest:.0f} ms)"
    return (
        f"\nOverheard by MONITOR in the rows of kills: {every.commands:,} commands, "
        f"{every.scripts:,} of them calls of scripts; {every.searches} x SCAN or KEYS; "
        f"{slow if every.slow else 'no script took more than 5 ms'}.\n"
    )


def write(rows: Sequence[Row]) -> None:
    """Put the table in its place."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    DOCUMENT.write_text(f"{before}{_BEGIN}{lines(rows)}{_END}{after}")
