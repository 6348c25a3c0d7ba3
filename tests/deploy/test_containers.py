"""The image's and the services' files keep to the rules of those who know containers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def said(*command: str | Path) -> tuple[int, str]:
    """The exit code and all that a program printed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_dockerfile_lints_clean() -> None:
    assert said(BIN / "hadolint", "deploy/Dockerfile") == (0, "")


def test_the_compose_file_has_no_grave_fault_of_security() -> None:
    code, told = said(BIN / "compose-lint", "--fail-on", "high", "docker-compose.yml")
    assert code == 0, told


def test_every_image_is_pinned_to_a_version() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    images = {one["image"] for one in services.values()}
    dockerfile = re.findall(r"^FROM (\S+)", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    for image in images | set(dockerfile):
        assert re.search(r":(v?\d+\.\d+\.\d+|local)", image), image


@pytest.mark.parametrize(
    "name", ["STORE_PASSWORD", "BROKER_PASSWORD", "GRAFANA_PASSWORD", "HOSTNAME_OUTSIDE"]
)
def test_what_the_compose_file_must_be_told_is_in_the_example(name: str) -> None:
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    example = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert name in asked & example
    assert example <= asked
