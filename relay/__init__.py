"""Relay: an outbound SMTP relay with one shared durable queue.

from relay import AsyncRelay, Attachment, Message, Relay
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.api import AsyncRelay, Attachment, Message, Relay

__all__ = ["AsyncRelay", "Attachment", "Message", "Relay"]


def __getattr__(name: str) -> object:
    """The client's names; what they need is imported when the first one is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("relay.api"), name)
