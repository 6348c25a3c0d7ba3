"""What documents name is there: files, headings, metrics, settings, tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from relay import metrics
from relay.config import Settings
from relay.config.environment import keys
from tests.support.documents import DOCS, ROOT, anchors, links, pages

_CODE = re.compile(r"`([^`\n]+)`")
#: Celery's remote control commands have such names too.
_COMMANDS = {"relay_attempts", "relay_hold"}


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def named(page: Path) -> list[str]:
    """What stands in backticks, fenced blocks aside."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return _CODE.findall(text)


def instruments() -> set[str]:
    """The name of every metric and of every series."""
    families = text_string_to_metric_families(generate_latest(metrics.FLEET).decode())
    return {
        name
        for family in families
        for name in (family.name, *(sample.name for sample in family.samples))
    }


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = [
        f"{link.target.relative_to(ROOT)}#{link.anchor}"
        for link in links(page)
        if not link.target.exists() or (link.anchor and link.anchor not in anchors(link.target))
    ]
    assert not broken


def test_every_metric_that_is_named_is_there() -> None:
    known = instruments() | _COMMANDS
    wrong = [
        f"{page.name}: {name}"
        for page in pages()
        for text in named(page)
        for name in re.findall(r"\brelay_[a-z_]+[a-z]\b", text)
        if name not in known
    ]
    assert not wrong


def test_every_setting_that_is_named_is_there() -> None:
    known = {".".join(key) for key in keys(Settings)}
    groups = {".".join(key[:depth]) for key in keys(Settings) for depth in range(1, len(key))}
    tops = "|".join({key[0] for key in keys(Settings)} - {"data"})
    wrong = [
        f"{page.name}: {name}"
        for page in [DOCS.parent / "README.md", *DOCS.glob("*.md")]
        for text in named(page)
        for name in re.findall(rf"^((?:{tops})(?:\.[a-z_]+)+)(?: =|$)", text)
        if name not in known | groups
    ]
    assert not wrong


def test_every_test_that_is_named_is_there() -> None:
    found = (ROOT / "tests").rglob("*.py")
    sources = [path for path in found if "bench" not in path.relative_to(ROOT).parts]
    known = {path.stem for path in sources}
    for path in sources:
        known |= set(re.findall(r"def (test_\w+)\(", path.read_text("utf-8")))
    wrong = [
        f"{page.name}: {name}"
        for page in DOCS.glob("*.md")
        for name in re.findall(r"\btest_[a-z0-9_]+", page.read_text("utf-8"))
        if name not in known
    ]
    assert not wrong
