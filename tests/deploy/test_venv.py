"""tools/venv: which Python a checkout's environment is made from, with real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.relay import ROOT

_BASE = sys._base_executable  # type: ignore[attr-defined]
#: What tells a build with optimisation by profile.
_OPTIMISED = "'--enable-optimizations'"

#: A Python as it comes first in PATH, by what it says that it was configured with.
Build = Callable[[str], Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A python3 of this version that says it was built so."""

    def made(arguments: str) -> Path:
        (tmp_path / "lib").mkdir()
        (tmp_path / "bin").mkdir()
        plain = ("CFLAGS", "PY_CORE_CFLAGS")
        known = (
            sysconfig.get_config_vars() | {"CONFIG_ARGS": arguments} | dict.fromkeys(plain, "-O3")
        )
        (tmp_path / "lib" / "_so_built.py").write_text(f"build_time_vars = {known!r}\n")
        program = tmp_path / "bin" / "python3"
        # Where it makes an environment that one must be like any other.
        asked = f"export _PYTHON_SYSCONFIGDATA_NAME=_so_built PYTHONPATH={tmp_path}/lib"
        program.write_text(f'#!/bin/sh\n[ "$1" != - ] || {asked}\nexec {_BASE} "$@"\n')
        program.chmod(0o755)
        return program

    return made


def distribution(tmp_path: Path, first: str = "") -> Path:
    """The distribution's own: it leaves a mark of what it made, or does something else first."""
    program = tmp_path / "own"
    mark = f'case "$*" in *venv*) touch {tmp_path}/by-own;; esac'
    program.write_text(f'#!/bin/sh\n{mark}\n{first}\nexec {_BASE} "$@"\n')
    program.chmod(0o755)
    return program


def venv(tmp_path: Path, own: Path, named: str = "") -> subprocess.CompletedProcess[str]:
    """What tools/venv says; whatever it took, the environment has pip."""
    made = tmp_path / "made"
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "tools" / "venv", named, made],
        env=os.environ | {"PATH": path, "DISTRIBUTION_PYTHON": str(own)},
        capture_output=True,
        text=True,
        check=True,
    )
    subprocess.run([made / "bin" / "pip", "--version"], check=True, capture_output=True)
    return done


def test_the_distributions_own_is_taken_where_another_was_built_without_optimisation(
    tmp_path: Path, build: Build
) -> None:
    first, own = build("'--enable-shared'"), distribution(tmp_path)
    done = venv(tmp_path, own)
    told, *rest = done.stdout.splitlines()
    assert told.startswith(f"Taking {own}: {first} was built without optimisation")
    assert rest == [f"Making {tmp_path}/made (once)..."]
    assert (tmp_path / "by-own").exists()


@pytest.mark.parametrize(
    ("arguments", "named"), [(_OPTIMISED, ""), ("", "python3")], ids=["optimised", "named"]
)
def test_what_is_first_in_path_is_taken_where_it_is_as_good_or_named(
    tmp_path: Path, build: Build, arguments: str, named: str
) -> None:
    build(arguments)
    done = venv(tmp_path, distribution(tmp_path), named)
    assert done.stdout == f"Making {tmp_path}/made (once)...\n"
    assert not (tmp_path / "by-own").exists()


@pytest.mark.parametrize(
    "first",
    ["exit 1", 'case "$*" in *"-m venv"*) mkdir -p {made}/bin; exit 1;; esac'],
    ids=["none", "fails"],
)
def test_where_the_distributions_own_will_not_do_the_other_is_taken(
    tmp_path: Path, build: Build, first: str
) -> None:
    build("")
    own = distribution(tmp_path, first.format(made=tmp_path / "made"))
    done = venv(tmp_path, own)
    assert done.stdout.endswith(f"Making {tmp_path}/made (once)...\n")
    assert done.stderr == (f"{own} cannot make it: taking python3.\n" if "case" in first else "")


def test_one_that_is_too_old_or_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        venv(tmp_path, tmp_path / "none", "python3.4")
    assert caught.value.stderr.startswith("python3.4 is not there or older than 3.11: name another")
