"""The outbox as its consumers see it: events in order, a cursor, a role that one of them holds.

`relay.store.outbox.Outbox` is that of one partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.store.codec import Ended
from relay.store.complaints import Complaint
from relay.store.outbox import EventEntry, FinalOutcome

__all__ = ["Complaint", "Ended", "EventEntry", "FinalOutcome", "Outbox"]


class Outbox(Protocol):
    """One partition's events for their consumers. Every call may fail with StoreUnavailable."""

    async def hold_role(self, consumer: str, holder: str, ttl_ms: int) -> bool:
        """Take or keep the role for `ttl_ms`; False where another has it. 0 gives it up."""
        ...

    async def read(self, consumer: str, count: int) -> Sequence[EventEntry]:
        """The next events behind the cursor: about `count`, never half a stream entry."""
        ...

    async def outcomes(
        self, entries: Sequence[EventEntry], octets: int
    ) -> Sequence[FinalOutcome | None]:
        """What each event made final, with up to `octets` of content; None where it was closed.

        Raises NewerRecord: then the events are for a newer process.
        """
        ...

    async def given_up(self, entries: Sequence[EventEntry]) -> Sequence[Ended | None]:
        """The ends of deliveries that no attempt ended; None where a record is gone.

        Raises NewerRecord.
        """
        ...

    async def complaints(self, entries: Sequence[EventEntry]) -> Sequence[Complaint | None]:
        """The complaints that events tell of; None where one is forgotten or damaged."""
        ...

    async def close(self, outcomes: Sequence[FinalOutcome]) -> None:
        """Each DSN is admitted, or none is to be: its claim on the content goes. Safe to repeat."""
        ...

    async def advance(self, consumer: str, stream_id: str) -> None:
        """Move the consumer's cursor up to `stream_id`; never back."""
        ...
