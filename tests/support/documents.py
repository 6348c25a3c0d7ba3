"""The project's documents, read for what can be checked or run: code blocks, links, headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


class Block(Struct, frozen=True):
    """A fenced block of code, and where it stands."""

    language: str
    text: str
    #: The heading of level 2 above it.
    section: str


class Link(Struct, frozen=True):
    """Where a page leads: a file, and an anchor in it or ""."""

    page: Path
    target: Path
    anchor: str


def pages() -> list[Path]:
    """Every document."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks that name their language."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        above = [title for level, title in _HEADING.findall(text[: match.start()]) if level == "##"]
        found.append(Block(match[1], match[2], above[-1] if above else ""))
    return found


def commands(text: str) -> list[list[str]]:
    """The words of each command line of a shell block, comments taken off."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def links(page: Path) -> Iterator[Link]:
    """The page's links to other documents and into itself."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield Link(page, page.parent / path if path else page, anchor)


def anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as code hosts make them."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return {anchor(title) for _, title in _HEADING.findall(text)}


def anchor(title: str) -> str:
    """Lower case, punctuation taken out, a hyphen for each space."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the table rows under a heading, the head and its rule left out."""
    text = page.read_text(encoding="utf-8")
    _, _, below = text.partition(f"## {heading}\n")
    section = re.split(r"^## ", below, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    rule = next((at for at, row in enumerate(cells) if set("".join(row)) <= set("-| ")), -1)
    return cells[rule + 1 :]
