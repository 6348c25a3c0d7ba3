"""Where commands get their console: the one on the store that the settings name."""

from __future__ import annotations

import importlib
from contextlib import AbstractAsyncContextManager

from relay.config import Settings
from relay.console.views import Console


def open_console(settings: Settings) -> AbstractAsyncContextManager[Console]:
    """The console on the settings' store, for the time of a `with` block."""
    status = importlib.import_module("relay.console.status")
    console: AbstractAsyncContextManager[Console] = status.open_console(settings)
    return console
