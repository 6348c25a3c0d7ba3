"""systemd takes the units, and each runs a role that is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from relay.cli.arguments import parser
from tests.support.programs import program

UNITS = Path(__file__).parents[2] / "deploy/systemd"
SERVICES = sorted(UNITS.glob("*.service"))


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    # It looks whether the program and the user are there: any will do.
    (tmp_path / "relay").symlink_to("/bin/true")
    for each in UNITS.iterdir():
        text = each.read_text().replace("/opt/relay/bin/relay", "/bin/true")
        (tmp_path / each.name).write_text(text.replace("User=relay", "User=root"))
    name = unit.name.replace("@.", "@1.")
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_that_is_there(unit: Path) -> None:
    [words] = re.findall(r"^ExecStart=/opt/relay/bin/relay (.*)$", unit.read_text(), re.MULTILINE)
    assert parser().parse_args(words.split()).run


def test_all_units_are_kept_from_the_system_in_the_same_way() -> None:
    kept = {
        unit.name: set(
            re.findall(r"^(?:Protect|Restrict|NoNew|System)\w+=.*$", unit.read_text(), re.M)
        )
        for unit in SERVICES
    }
    assert len(set(map(frozenset, kept.values()))) == 1
