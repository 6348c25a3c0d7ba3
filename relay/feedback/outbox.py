"""The outbox as its consumers see it: events in order, a cursor, a role that one of them holds.

The store implements `Outbox` for each of its partitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from relay.mail.delivery import Record, Result
from relay.mail.envelope import Recipient


class EventEntry(Struct, frozen=True):
    """One event: what happened to a delivery under a fence. Several may share a `stream_id`."""

    stream_id: str
    delivery_id: str
    #: A letter, in upper case where the sender is to be told.
    kind: str
    fence: int

    @property
    def report_due(self) -> bool:
        """A recipient became final whose sender wants to hear of it."""
        return self.kind.isupper()


class FinalOutcome(Struct, frozen=True):
    """What one settle, or the giving up of a delivery, made final."""

    delivery_id: str
    fence: int
    #: When, as it was recorded then: a Unix time in milliseconds, the same at each reading.
    at_ms: int
    record: Record
    #: The delivery's recipients as they were attempted; those without a result are not final.
    recipients: tuple[Recipient, ...]
    #: What became of them. Where no attempt did it, `expired`, with the last reply there was.
    results: tuple[Result, ...]
    #: The host that answered, "" where none did.
    host: str
    #: The message's content from its beginning, as far as it was asked for or is still there.
    content: bytes


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
        """What each event made final, with up to `octets` of content; None where it was closed."""
        ...

    async def close(self, outcomes: Sequence[FinalOutcome]) -> None:
        """Each DSN is admitted, or none is to be: its claim on the content goes. Safe to repeat."""
        ...

    async def advance(self, consumer: str, stream_id: str) -> None:
        """Move the consumer's cursor up to `stream_id`; never back."""
        ...
