"""`python -m deploy.grafana`: write the dashboards' JSON, which Grafana is provisioned with."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import destinations, intake, overview, queue, runbook, store, workers
from deploy.grafana.panels import build

BOARDS = (
    overview.BOARD,
    destinations.BOARD,
    queue.BOARD,
    workers.BOARD,
    intake.BOARD,
    store.BOARD,
)
HOME = Path(__file__).parent / "dashboards"


def files() -> dict[str, str]:
    """The name and text of each file."""
    encoder = JSONEncoder(sort_keys=True, indent=1)
    made = {board.uid: build(board) for board in BOARDS} | {runbook.UID: runbook.build()}
    return {f"{uid}.json": encoder.encode(board) + "\n" for uid, board in made.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (HOME / name).write_text(text, encoding="utf-8")
