"""The cache: programs of peers that are fetched when first wanted, and kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_CACHE = Path(__file__).parent / ".cache"
#: Written last: without it, what is there was not finished.
_DONE = ".done"


def place(name: str) -> Path:
    """Where something is kept, or would be."""
    return _CACHE / name


def find(name: str) -> bool:
    """Whether it is there and whole."""
    return (place(name) / _DONE).exists()


def make(name: str, fill: Callable[[Path], None]) -> None:
    """Have `fill` bring it into its directory, if it is not there; say so where that fails."""
    if find(name):
        return
    target = place(name)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        fill(target)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{name} could not be installed: {error}", file=sys.stderr)
    else:
        (target / _DONE).touch()
