"""What both ways to Relay have in common: its store itself, and its HTTP API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from relay.console.events import EventView as Event
from relay.console.views import CancelView as Cancelled
from relay.console.views import MessageView as Status
from relay.console.views import RescheduleView as Rescheduled
from relay.errors import RelayError
from relay.mail.message import Message
from relay.submission import Accepted

__all__ = ["Cancelled", "Event", "Rescheduled", "Result", "Status", "Transport"]

#: What became of one of many messages.
Result = Accepted | RelayError


class Transport(Protocol):
    """A way to Relay; every call raises the errors of `relay.errors`."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Wait for what is under way, and disconnect."""

    async def submit(self, message: Message) -> Accepted:
        """Accept one message; it is durable when this returns."""

    async def submit_many(self, messages: Sequence[Message]) -> list[Result]:
        """Accept up to MOST_AT_ONCE messages; a result for each, in their order."""

    async def status(self, message: str) -> Status:
        """What has become of a message."""

    async def cancel(self, message: str) -> tuple[Cancelled, ...]:
        """Stop what is not delivered yet."""

    async def reschedule(self, message: str, at: datetime | None) -> tuple[Rescheduled, ...]:
        """Attempt what is not delivered yet at a time, or (None) now."""

    def events(self, after: str) -> AsyncIterator[Event]:
        """Events behind an event's id, or ("") from now on; it waits for more without end."""
