"""Who asks, for the audit; and under which name this relay passes mail on."""

from __future__ import annotations

import getpass
import socket

from relay.config import Settings


def operator() -> str:
    """Such as cli:root."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"


def own_name(settings: Settings) -> str:
    """As greetings and Received fields have it."""
    return settings.smtp.hostname or socket.getfqdn()
