"""Documents that are drawn from the code say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from relay.mail.lifecycle import TRANSITIONS, State, as_mermaid

DOCS = Path(__file__).parents[2] / "docs"
_DIAGRAM = re.compile(r"<!-- lifecycle -->\n(.*)<!-- /lifecycle -->", re.DOTALL)


def test_the_state_diagram_is_drawn_from_the_table() -> None:
    found = _DIAGRAM.search((DOCS / "architecture.md").read_text(encoding="utf-8"))
    assert found is not None
    assert found[1].strip() == f"```mermaid\n{as_mermaid()}\n```"


def test_every_state_is_reached_and_every_place_can_be_left() -> None:
    reached = {state for edges in TRANSITIONS.values() for state in edges.values()}
    assert reached | {State.LATER} == set(State)
    assert all(TRANSITIONS[state] for state in State if not state.final)
