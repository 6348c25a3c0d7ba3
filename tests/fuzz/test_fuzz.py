"""What reads what comes from outside holds for inputs kept, and for some seconds of new ones."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.targets import TARGETS

_ROOT = Path(__file__).parents[2]
#: Of each target.
_SECONDS = 1
_KEPT = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", _KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once_holds(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_corpus_to_begin_with() -> None:
    assert {path.parent.name for path in _KEPT} == set(TARGETS)


def test_new_inputs_break_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        why = "atheris is missing: make fuzz installs it, where there is a wheel of it"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--seconds", str(_SECONDS), "--keep", str(tmp_path)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
