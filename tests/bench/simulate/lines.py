"""SVG: panels of lines over time, two beside each other, each on a scale of its own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from msgspec import Struct

_WIDTH, _MARGIN, _GAP = 1000, 24, 32
_PANEL = (_WIDTH - 2 * _MARGIN - _GAP) // 2
_HEIGHT, _HEAD, _TITLE, _AXIS, _ROW, _BETWEEN = 170, 76, 26, 22, 18, 26
#: Room for the numbers on the left of a panel.
_LEFT = 62
#: Names of lines beside each other, below a panel.
_ABREAST = 2
_COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#805ad5", "#b83280", "#718096", "#d69e2e")


class Line(Struct, frozen=True):
    """A value at each minute."""

    label: str
    values: tuple[float, ...]


class Panel(Struct, frozen=True):
    """Lines on one scale, from 0."""

    title: str
    unit: str
    lines: tuple[Line, ...]

    @property
    def height(self) -> int:
        """In pixels."""
        return _TITLE + _HEIGHT + _AXIS + _ROW * -(-len(self.lines) // _ABREAST)


def drawn(title: str, note: str, panels: Sequence[Panel]) -> str:
    """The image."""
    parts: list[str] = []
    top = _HEAD
    for at in range(0, len(panels), 2):
        row = panels[at : at + 2]
        for k, panel in enumerate(row):
            parts += _panel(panel, _MARGIN + k * (_PANEL + _GAP), top)
        top += max(panel.height for panel in row) + _BETWEEN
    spoken = "; ".join(f"{panel.title} ({panel.unit})" for panel in panels)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}"'
            f' width="{_WIDTH}" height="{top}" role="img" aria-labelledby="title desc"'
            ' font-size="12" fill="#1f2933"'
            ' font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="desc">{escape(spoken)}</desc>',
            f'<rect width="{_WIDTH}" height="{top}" rx="10" fill="#fafbfc"/>',
            f'<text x="{_MARGIN}" y="34" font-size="18" font-weight="bold">{escape(title)}</text>',
            f'<text x="{_MARGIN}" y="54" fill="#52606d">{escape(note)}</text>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _panel(panel: Panel, left: int, top: int) -> list[str]:
    most = max((max(line.values, default=0.0) for line in panel.lines), default=0.0) or 1.0
    count = max(len(line.values) for line in panel.lines)
    zero, floor, wide = left + _LEFT, top + _TITLE + _HEIGHT, _PANEL - _LEFT
    parts = [
        f'<text x="{left}" y="{top + 12}" font-weight="bold">{escape(panel.title)}</text>',
        f'<text x="{left + _PANEL}" y="{top + 12}" text-anchor="end" fill="#52606d">'
        f"{escape(panel.unit)}</text>",
    ]
    for share in (0.0, 0.5, 1.0):
        y = floor - share * _HEIGHT
        parts += [
            f'<path d="M{zero} {y:.0f} H{left + _PANEL}" stroke="#d9e2ec"/>',
            f'<text x="{zero - 6}" y="{y + 4:.0f}" text-anchor="end" fill="#52606d">'
            f"{_number(most * share)}</text>",
        ]
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        parts.append(
            f'<text x="{zero + share * wide:.0f}" y="{floor + 15}" text-anchor="{anchor}"'
            f' fill="#52606d">{_number(share * (count - 1))} min</text>'
        )
    for k, line in enumerate(panel.lines):
        colour = _COLOURS[k % len(_COLOURS)]
        points = " ".join(
            f"{zero + at * wide / max(count - 1, 1):.1f},{floor - value / most * _HEIGHT:.1f}"
            for at, value in enumerate(line.values)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        )
        x = left + k % _ABREAST * (_PANEL // _ABREAST)
        y = floor + _AXIS + _ROW * (k // _ABREAST) + 12
        parts += [
            f'<rect x="{x}" y="{y - 8}" width="14" height="4" fill="{colour}"/>',
            f'<text x="{x + 20}" y="{y}">{escape(line.label)}</text>',
        ]
    return parts


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.2g}"
