"""SVG: panels of horizontal bars, two beside each other, each on a scale of its own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from msgspec import Struct

_WIDTH = 1000
_MARGIN = 24
_GAP = 32
_PANEL = (_WIDTH - 2 * _MARGIN - _GAP) // 2
#: Within a panel: room for names on the left, and for values on the right.
_NAMES, _VALUES = 110, 144
_BARS = _PANEL - _NAMES - _VALUES
_ROW, _BAR = 24, 15
_HEAD, _TITLE, _BETWEEN = 76, 28, 22
_STYLE = (
    ".other { fill: #b8c2cc; } .ours { fill: #2b6cb0; } .part { opacity: 0.35; }"
    " .range { stroke: #1f2933; stroke-width: 1; } .note { font-size: 12px; fill: #52606d; }"
    " .base { stroke: #9aa5b1; stroke-width: 1; } .bold { font-weight: bold; }"
    " .title { font-size: 18px; font-weight: bold; } .end { text-anchor: end; }"
)


class Bar(Struct, frozen=True):
    """One bar: the median of some runs, and how far they lie apart."""

    label: str
    value: float
    least: float
    most: float
    text: str
    #: Drawn in the colour that stands out.
    ours: bool = False
    #: Not whole: the work was not done when time was up.
    whole: bool = True


class Panel(Struct, frozen=True):
    """Bars on one scale."""

    title: str
    bars: tuple[Bar, ...]

    @property
    def height(self) -> int:
        """In pixels."""
        return _TITLE + _ROW * len(self.bars)


def drawn(title: str, note: str, panels: Sequence[Panel]) -> str:
    """The image."""
    parts, top = [], _HEAD
    for at in range(0, len(panels), 2):
        row = panels[at : at + 2]
        for k, panel in enumerate(row):
            parts += _panel(panel, _MARGIN + k * (_PANEL + _GAP), top)
        top += max(panel.height for panel in row) + _BETWEEN
    spoken = "; ".join(
        f"{panel.title}: " + ", ".join(f"{bar.label} {bar.text}" for bar in panel.bars)
        for panel in panels
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}"'
        f' height="{top}" role="img" aria-labelledby="title desc" font-size="13" fill="#1f2933"'
        ' font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(spoken)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{top}" rx="10" fill="#fafbfc"/>',
        _text(_MARGIN, 34, title, "title"),
        _text(_MARGIN, 54, note, "note"),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _panel(panel: Panel, left: int, top: int) -> list[str]:
    lines = [_text(left, top + 14, panel.title, "bold")]
    most = max(bar.most for bar in panel.bars) or 1.0
    zero, first = left + _NAMES, top + _TITLE
    for k, bar in enumerate(panel.bars):
        lines += _bar(bar, zero, first + k * _ROW, most)
    bottom = first + len(panel.bars) * _ROW - (_ROW - _BAR) // 2
    lines.append(f'<path class="base" d="M{zero} {first - 2} V{bottom}"/>')
    return lines


def _bar(bar: Bar, zero: int, top: int, most: float) -> list[str]:
    """A bar with its name, its value, and a line over the range of its runs."""
    scale = _BARS / most
    width, middle, base = max(bar.value * scale, 1.0), top + _BAR / 2, top + _BAR - 3
    look = ("ours" if bar.ours else "other") + ("" if bar.whole else " part")
    lines = [
        _text(zero - 8, base, bar.label, "end bold" if bar.ours else "end"),
        f'<rect class="{look}" x="{zero}" y="{top}" width="{width:.1f}" height="{_BAR}"/>',
    ]
    if bar.most > bar.least:
        ends = f"M{zero + bar.least * scale:.1f} {middle} H{zero + bar.most * scale:.1f}"
        lines.append(f'<path class="range" d="{ends}"/>')
    beside = zero + max(width, bar.most * scale) + 6
    lines.append(_text(round(beside), base, bar.text, "note"))
    return lines


def _text(x: float, y: float, text: str, look: str) -> str:
    return f'<text x="{x}" y="{y}" class="{look}">{escape(text)}</text>'
