"""Who asks, for the audit."""

from __future__ import annotations

import getpass


def operator() -> str:
    """Such as cli:root."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"
