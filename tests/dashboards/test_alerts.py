"""The alerts: each is tested by promtool, and has a page that says what to do."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.programs import program
from tests.support.relay import ROOT

HOME = ROOT / "deploy" / "prometheus"
PAGES = ROOT / "docs" / "operations"
_ALERT = re.compile(
    r"- alert: (?P<name>\w+)\n.*?severity: (?P<severity>\w+).*?summary: (?P<summary>[^\n]+)"
    r".*?page: (?P<page>[^\n]+)",
    re.DOTALL,
)
ALERTS = [found.groupdict() for found in _ALERT.finditer((HOME / "alerts.yml").read_text("utf-8"))]
FILES = ("alerts_test.yml", "slow_alerts_test.yml")
TESTS = "".join((HOME / name).read_text("utf-8") for name in FILES)


def run(*words: str) -> str:
    done = subprocess.run(words, cwd=HOME, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_and_the_configuration_are_good() -> None:
    promtool = program("promtool", "prometheus")
    run(promtool, "check", "rules", "rules.yml", "alerts.yml")
    run(promtool, "check", "config", "prometheus.yml")


def test_each_alert_fires_when_it_should_and_not_otherwise() -> None:
    run(program("promtool", "prometheus"), "test", "rules", *FILES)


def test_the_example_for_the_alertmanager_is_good() -> None:
    run(program("amtool", "prometheus-alertmanager"), "check-config", "alertmanager.yml")


def test_every_alert_is_whole() -> None:
    assert len(ALERTS) == (HOME / "alerts.yml").read_text("utf-8").count("- alert: ")
    assert {alert["severity"] for alert in ALERTS} == {"page", "ticket"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["name"])
def test_an_alert_is_raised_in_one_test(alert: dict[str, str]) -> None:
    about = re.findall(rf"alertname: {alert['name']}\n.*?exp_alerts:( \[\])?", TESTS, re.DOTALL)
    assert "" in about, "a test in which it fires is missing"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["name"])
def test_an_alert_has_a_page_that_names_it(alert: dict[str, str]) -> None:
    page = (ROOT / alert["page"]).read_text("utf-8")
    assert f"`{alert['name']}`" in page
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert headings == ["What it means", "Look at", "Do"]
    index = (PAGES / "README.md").read_text("utf-8")
    row = f"| `{alert['name']}` | {alert['severity']} | ["
    assert row in index


def test_every_page_is_about_an_alert() -> None:
    pages = {f"docs/operations/{path.name}" for path in PAGES.glob("*.md")}
    assert pages == {alert["page"] for alert in ALERTS} | {
        "docs/operations/README.md",
        "docs/operations/drill.md",
    }
