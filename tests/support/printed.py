"""What a command would print of a view, without a terminal."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def printed(view: RenderableType, width: int = 160) -> str:
    """The text, without colours."""
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(view)
    return file.getvalue()
