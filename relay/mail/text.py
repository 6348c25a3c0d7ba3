"""Text from elsewhere made harmless: one line, printable, bounded; for logs and reports."""

from __future__ import annotations

#: Characters kept of a remote text by default; a reply of many lines may be far longer.
MOST = 1000
#: Stands where a text was cut.
CUT = "..."


def printable(text: str, most: int = MOST) -> str:
    r"""`text` with whatever does not print escaped as `\x1b` or `\u202e`, cut to `most` characters.

    Line ends, control characters, invisible and direction-changing ones, and what is no character
    at all do not print; letters of any script do.
    """
    if len(text) <= most and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else _escaped(c) for c in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - len(CUT)] + CUT


def ascii_printable(text: str, most: int = MOST) -> str:
    """As `printable`, with what is beyond ASCII escaped too."""
    if text.isascii():
        return printable(text, most)
    return printable(text[: most + 1].encode("ascii", "backslashreplace").decode(), most)


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]
