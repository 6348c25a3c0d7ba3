"""What operators ask, answered from the store: messages, queues, cancelling."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from msgspec import structs

from relay.config import Settings
from relay.console.records import domains_of, listed_view, message_view, moment, reply_line
from relay.console.views import (
    CancelView,
    ComplaintNote,
    ListedView,
    MessageView,
    QueuesView,
    QueueView,
    RescheduleView,
)
from relay.errors import NoSuchMessage
from relay.mail.delivery import Attempt
from relay.mail.ids import is_message_id, message_of, partition_of
from relay.mail.reply import Reply
from relay.policy.needs import domain_of
from relay.store.client import ClientOptions, StoreClient
from relay.store.cluster import client_of
from relay.store.complaints import Complaints
from relay.store.control import Control
from relay.store.finding import Finding
from relay.store.listing import Listing, Wanted
from relay.store.queues import QueueCount, Queues
from relay.store.replies import last_attempt, reply_in
from relay.store.servers import servers_of
from relay.store.status import Status

#: Seconds to wait for the store: somebody sits and waits.
_PATIENCE = 5.0


@asynccontextmanager
async def open_console(settings: Settings) -> AsyncIterator[StoreConsole]:
    """The console on the settings' store. Raises StoreUnavailable."""
    client = client_of(servers_of(settings.store.url), ClientOptions(patience=_PATIENCE))
    await client.start()
    try:
        yield StoreConsole(client, settings.store.partitions)
    finally:
        await client.close()


class StoreConsole:
    """See `relay.console.views.Console`."""

    def __init__(
        self,
        client: StoreClient,
        partitions: int,
        ring: Callable[[Sequence[str]], None] | None = None,
        sample: int = 10_000,
    ) -> None:
        """`ring` gets queues that can go on; without it the pump finds them. `sample`: deliveries
        looked at for counts by domain.
        """
        self._partitions = partitions
        self._status = Status(client, partitions)
        self._complaints = Complaints(client, partitions)
        self._queues = Queues(client, partitions, sample)
        self._listing = Listing(client, partitions)
        self._finding = Finding(client, partitions)
        self._control = (
            Control(client, partitions, ring=ring) if ring else Control(client, partitions)
        )

    async def message(self, message: str) -> MessageView:
        """The message with that id. Raises NoSuchMessage."""
        self._check(message)
        view = message_view(await self._status.message(message))
        complaints = await self._complaints.of(message)
        if not complaints:
            return view
        notes = (ComplaintNote(one.recipient, one.kind, moment(one.at_ms)) for one in complaints)
        return structs.replace(view, complaints=tuple(notes))

    async def queues(self, *, domain: str = "", limit: int = 100) -> QueuesView:
        """The fullest queues first, or the queue of one domain."""
        counts = await self._queues.count()
        chosen = [
            count for count in counts.queues if domain in ("", count.queue, domain_of(count.queue))
        ]
        totals = counts.totals
        # What is ready in a queue that is held as a whole does not wait for a worker.
        aside = sum(count.ready for count in counts.queues if count.paused)
        return QueuesView(
            queues=tuple([await self._view(count, counts.now_ms) for count in chosen[:limit]]),
            domains=len(counts.queues),
            waiting=max(0, totals.ready - aside),
            leased=totals.leased,
            deferred=totals.later,
            held=totals.held + aside,
            partial=counts.partial,
            unreadable=counts.unreadable,
        )

    async def cancel(self, message: str) -> tuple[CancelView, ...]:
        """Stop what is not delivered yet. Raises NoSuchMessage."""
        self._check(message)
        domains = domains_of(await self._status.message(message))
        answers = await self._control.cancel(message)
        return tuple(
            CancelView(
                answer.delivery, domains.get(message_of(answer.delivery)[1], ""), answer.word
            )
            for answer in answers
        )

    async def reschedule(
        self, message: str, at: datetime | None = None
    ) -> tuple[RescheduleView, ...]:
        """Attempt what is not delivered yet at a time, or now. Raises NoSuchMessage."""
        self._check(message)
        domains = domains_of(await self._status.message(message))
        due_ms = round(at.timestamp() * 1000) if at else 0
        return tuple(
            RescheduleView(
                answer.delivery, domains.get(message_of(answer.delivery)[1], ""), answer.word
            )
            for answer in await self._control.reschedule(message, due_ms)
        )

    async def deliveries(
        self, wanted: Wanted, cursor: str, limit: int
    ) -> tuple[tuple[ListedView, ...], str]:
        """Deliveries that are not final, and the cursor of the next page, "" for none.

        Those of a recipient or with a tag also where they are final, as long as they are known.

        Raises ValueError where the cursor is none.
        """
        if wanted.recipient or wanted.tag:
            found = await self._finding.page(wanted, cursor, limit)
            return tuple(map(listed_view, found.items)), found.cursor
        page = await self._listing.page(wanted, cursor, limit)
        return tuple(map(listed_view, page.items)), page.cursor

    def _check(self, message: str) -> None:
        if not is_message_id(message) or partition_of(message) >= self._partitions:
            raise NoSuchMessage(f"{message} is no id of a message in this store")

    async def _view(self, count: QueueCount, now_ms: int) -> QueueView:
        next_ms = count.parked_ms or count.next_ms
        return QueueView(
            domain=count.queue,
            waiting=0 if count.paused else count.ready,
            leased=count.leased,
            deferred=count.later,
            held=count.held + (count.ready if count.paused else 0),
            oldest_age_s=max(0.0, (now_ms - count.oldest_ms) / 1000) if count.oldest_ms else 0.0,
            next_attempt_at=moment(next_ms) if next_ms else None,
            last_reply=await self._last_reply(count),
            parked_until=moment(count.parked_ms) if count.parked_ms > now_ms else None,
        )

    async def _last_reply(self, count: QueueCount) -> str:
        """That of the site while it is down, else of a delivery that was deferred."""
        noted = await self._queues.last_attempts(count.deferred) if count.deferred else ()
        attempt = last_attempt(noted)
        if attempt is None or count.parked_ms:
            return reply_line(reply_in(count.reason)) if count.reason else ""
        return _reply_of(attempt)


def _reply_of(attempt: Attempt) -> str:
    last = attempt.results[-1]
    return reply_line(Reply(last.code, last.enhanced, last.text))
