"""The examples of docs/examples.md, run as they stand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.conftest import Sandbox
from tests.support.documents import DOCS, Block, blocks
from tests.support.programs import program

EXAMPLES = blocks(DOCS / "examples.md")
_PROGRAMS = {"swaks": "swaks", "msmtp": "msmtp", "PHP": "php", "curl, over HTTP": "curl"}
_PACKAGES = {"php": "php-cli"}


def section_of(block: Block) -> str:
    return block.section


@pytest.fixture(scope="module")
def nodemailer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package."""
    place = tmp_path_factory.mktemp("node")
    options = ("--no-audit", "--no-fund", "--silent", "--prefix", str(place))
    install = [program("npm"), "install", *options, "nodemailer@10"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return place / "node_modules"


@pytest.mark.parametrize("block", EXAMPLES, ids=section_of)
def test_what_an_example_submits_is_delivered(
    block: Block, sandbox: Sandbox, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    text = sandbox.adapted(block.text)
    if name := _PROGRAMS.get(block.section):
        program(name, _PACKAGES.get(name, ""))
    if block.language == "go":
        sandbox.run(_go(), "run", _written(tmp_path / "main.go", text), seconds=120)
    elif block.language == "python":
        sandbox.run(sys.executable, "-c", text)
    elif block.language == "js":
        modules = request.getfixturevalue("nodemailer")
        sandbox.run("env", f"NODE_PATH={modules}", program("node"), "-e", text)
    else:
        sandbox.shell(block.text)
    found = sandbox.until_delivered(f"Example of {block.section.partition(',')[0]}")
    assert "Return-Path: <ann@example.com>" in found
    assert "Delivered-To: bob@example.net" in found
    assert "Hello Bob." in found


def test_there_is_an_example_for_each() -> None:
    assert [block.section.partition(",")[0] for block in EXAMPLES] == [
        *("curl", "Python", "Django", "Node", "PHP", "sendmail", "msmtp", "swaks", "Go"),
    ]


def _go() -> str:
    """A compiler is much to ask for one example: without it nothing is missed."""
    found = shutil.which("go")
    if found is None:
        pytest.skip("go is missing")
    return found


def _written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)
