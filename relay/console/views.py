"""What an operator sees of messages and queues, whoever shows it: the names are a stable format.

Encoded as JSON a view's fields keep their names, times are RFC 3339 in UTC, durations seconds.
docs/cli.md documents them; a field may be added, none renamed or taken away.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class RecipientState(StrEnum):
    """What has become of a recipient so far."""

    #: Waits for its first attempt, or for one that does not count as another.
    QUEUED = "queued"
    #: An attempt is under way.
    LEASED = "leased"
    #: An attempt failed: it waits for the next one.
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    #: Set aside until an operator lets it go on.
    HELD = "held"

    @property
    def final(self) -> bool:
        """Nothing will change it any more."""
        return self in _FINAL


_FINAL = frozenset(
    (
        RecipientState.DELIVERED,
        RecipientState.BOUNCED,
        RecipientState.EXPIRED,
        RecipientState.CANCELLED,
    )
)


class AttemptView(Struct, frozen=True):
    """One attempt as it went for one recipient."""

    #: The host's name from its MX record or the route table.
    host: str
    #: The IP address that was connected to, "" where none was.
    address: str
    #: The TLS version, "" in the clear; and by what the host's certificate was verified (settings,
    #: mta-sts, dane, message), "" where it was not.
    tls: str
    #: When it ended.
    at: datetime
    took_ms: int
    #: The reply: its code, enhanced status code ("" where there was none) and text.
    code: int
    enhanced: str
    text: str
    verified: str = ""


class RecipientView(Struct, frozen=True):
    """One recipient of a message and what has become of it."""

    address: str
    state: RecipientState
    attempts: tuple[AttemptView, ...] = ()
    #: None where no attempt is planned.
    next_attempt_at: datetime | None = None
    #: The last reply as one line, "" before the first.
    last_reply: str = ""


class ComplaintNote(Struct, frozen=True):
    """A recipient complained about the message."""

    #: "" where the report did not tell.
    recipient: str
    #: abuse, fraud, virus, other, opt-out or opt-out-list.
    kind: str
    at: datetime


class MessageView(Struct, frozen=True):
    """A message, from its acceptance until its record's time is over."""

    id: str
    #: "" for a DSN.
    sender: str
    #: Octets of content.
    size: int
    accepted_at: datetime
    tenant: str
    priority: str
    recipients: tuple[RecipientView, ...]
    #: Attempts whose outcome was lost, so that a recipient may have the message twice.
    possible_doubles: int = 0
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    complaints: tuple[ComplaintNote, ...] = ()

    @property
    def final(self) -> bool:
        """Each recipient has its outcome."""
        return all(recipient.state.final for recipient in self.recipients)


class QueueView(Struct, frozen=True):
    """What waits for one domain, in deliveries."""

    domain: str
    #: Due: waits for a worker or for a connection to be free.
    waiting: int
    leased: int
    #: To be attempted later.
    deferred: int
    held: int
    #: Since the acceptance of the oldest, 0 where nothing waits.
    oldest_age_s: float
    next_attempt_at: datetime | None = None
    last_reply: str = ""
    #: Until when the domain is not tried at all, as its hosts are down.
    parked_until: datetime | None = None


class QueuesView(Struct, frozen=True):
    """The queues of some domains, and how many there are of all."""

    queues: tuple[QueueView, ...]
    #: Domains with a delivery in the store; `queues` may show fewer.
    domains: int
    waiting: int
    leased: int
    deferred: int
    held: int
    #: There is more than was looked at: the counts by domain are lower bounds, except `waiting`.
    partial: bool = False
    #: Deliveries that this process cannot read, as a newer version of Relay wrote them: they are in
    #: the counts of all queues, and in none of one domain, except `waiting`.
    unreadable: int = 0


class CancelView(Struct, frozen=True):
    """What cancelling did to one delivery of a message."""

    delivery: str
    domain: str
    #: cancelled; pending: an attempt is under way, so it may still be sent; final: too late;
    #: newer: not touched, as a newer version of Relay wrote it.
    answer: str


class RescheduleView(Struct, frozen=True):
    """What rescheduling did to one delivery of a message."""

    delivery: str
    domain: str
    #: later or ready; pending: an attempt is under way, the time holds for the next one; held or
    #: cancelling: left as it is; cancelled or final: too late; newer: not touched.
    answer: str


class ListedView(Struct, frozen=True):
    """One delivery in a list: a message to its recipients in one domain.

    Of one that is final those are in it that became so; their outcomes are the message's to tell.
    """

    message: str
    delivery: str
    domain: str
    #: later, ready, leased, held or final.
    state: str
    sender: str
    recipients: tuple[str, ...]
    accepted_at: datetime
    attempts: int
    tenant: str = ""
    priority: str = "normal"
    #: None where no time is set for it.
    next_attempt_at: datetime | None = None


class Console(Protocol):
    """What operators ask and do. Each call may raise StoreUnavailable."""

    async def message(self, message: str) -> MessageView:
        """The message with that id. Raises NoSuchMessage."""

    async def queues(self, *, domain: str = "", limit: int = 100) -> QueuesView:
        """The fullest queues first, or the queue of one domain."""

    async def cancel(self, message: str) -> tuple[CancelView, ...]:
        """Stop what is not delivered yet; one answer for each delivery. Raises NoSuchMessage."""
