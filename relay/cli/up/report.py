"""What `relay up` tells on standard output: plain lines, so that they read the same in a log."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console
from rich.text import Text

from relay.cli import output

_STYLES = {"ready": "green", "ended": "bold red", "stopping": "yellow", "failed": "bold red"}


class Report:
    """Lines of time, who, and what happened."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or output.terminal()

    def line(self, name: str, event: str, detail: str = "") -> None:
        """One event of one child, or of `relay up` itself."""
        text = Text(datetime.now().astimezone().strftime("%H:%M:%S  "), "dim")
        text.append(f"{name:<10}").append(event, _STYLES.get(event, ""))
        if detail:
            text.append(f"  {detail}")
        self.console.print(text, soft_wrap=True)

    def quote(self, text: str) -> None:
        """The end of a child's log, as it is."""
        for line in text.splitlines():
            self.console.print(Text(f"    {line}", "dim"), soft_wrap=True)
