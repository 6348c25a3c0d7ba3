"""Calls to the store until their answer: what to say, to whom, and how often it was said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from relay.store.script import Script, Text

#: The answer of a call that has none yet.
NOTHING = object()


class Held:
    """A call whose answer may be held back."""

    __slots__ = ("answer", "deadline", "future")

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future
        self.answer: Any = NOTHING
        #: By the loop's clock, when its patience ends.
        self.deadline = 0.0


class Call(Held):
    """One call until its answer: what to say, and how often it was said."""

    __slots__ = (
        "asking",
        "command",
        "confirmed",
        "key",
        "name",
        "node",
        "pause",
        "repeatable",
        "repeats",
        "script",
        "started",
    )

    def __init__(
        self, future: asyncio.Future[Any], name: str, command: Sequence[Text], started: float
    ) -> None:
        super().__init__(future)
        self.name = name
        self.command = command
        self.started = started
        self.confirmed = False
        #: What tells who serves it, where there are several: a key, or the node itself.
        self.key: Text | None = None
        self.node: Any = None
        #: It is said to `node` this once, which has its slot almost.
        self.asking = False
        self.script: Script | None = None
        self.repeatable = True
        self.repeats = 0
        self.pause: asyncio.TimerHandle | None = None

    def octets(self) -> int:
        """About how much memory it holds."""
        return sum(len(part) if isinstance(part, (str, bytes)) else 8 for part in self.command)
