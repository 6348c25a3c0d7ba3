"""Programs of other packages that tests run: without one its tests are skipped, in CI they fail."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str, package: str = "") -> str:
    """The program's path; Debian's name of the package where it is another one."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"{name} is missing (apt-get install {package or name})"
        )
    return found
