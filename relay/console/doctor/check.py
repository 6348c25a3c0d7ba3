"""What was looked at and found good or not, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Level = Literal["ok", "warning", "error"]


class Check(Struct, frozen=True):
    """One line of a check-up."""

    #: settings, store, broker, workers, clock, dns, name, certificate, port, spf, dkim, dmarc, mx.
    area: str
    #: error: mail is not accepted, lost, not delivered or not taken by receivers.
    level: Level
    text: str
    #: What to do, "" where nothing is to be done.
    remedy: str = ""


class Checkup(Struct, frozen=True):
    """All that was looked at."""

    checks: tuple[Check, ...]
    errors: int
    warnings: int


def checkup(checks: Sequence[Check]) -> Checkup:
    """The checks, counted."""
    count = {level: sum(one.level == level for one in checks) for level in ("error", "warning")}
    return Checkup(tuple(checks), count["error"], count["warning"])


def ok(area: str, text: str) -> Check:
    """It is as it should be."""
    return Check(area, "ok", text)


def warning(area: str, text: str, remedy: str) -> Check:
    """Something is worse than it could be."""
    return Check(area, "warning", text, remedy)


def error(area: str, text: str, remedy: str) -> Check:
    """Something does not work."""
    return Check(area, "error", text, remedy)
