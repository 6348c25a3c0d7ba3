"""How commands print: tables for people, in colour on a terminal; JSON for machines."""

from __future__ import annotations

import sys

import msgspec
from rich.console import Console

#: Columns where there is no terminal to ask: wide enough that a reply stays on its line.
_PLAIN_WIDTH = 160


def terminal() -> Console:
    """Where tables go: standard output, coloured only on a terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_PLAIN_WIDTH)


def print_json(value: object) -> None:
    """A view as one JSON object, its fields under their own names."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(text.decode() + "\n")
