"""The table in docs/celery.md and the tests beside this one are the same list."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "celery.md"


def test_each_row_has_its_test_and_each_test_its_row() -> None:
    rows = re.findall(r"^\|.*\| (test_\w+) \|$", TABLE.read_text(), re.MULTILINE)
    assert len(rows) == len(set(rows))
    tests = {
        name
        for file in HERE.glob("test_*.py")
        if file != Path(__file__)
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert set(rows) == tests
