"""An outbox and a queue in memory that can crash before and after each of their steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from relay.errors import SubmissionRefused
from relay.feedback.outbox import Complaint, Ended, EventEntry, FinalOutcome
from relay.mail.reply import Reply
from relay.submission import Accepted, Submission


class Crash(Exception):
    """The process died here."""


class Memory:
    """One partition: its events, outcomes and cursor, and the messages admitted to it."""

    def __init__(self) -> None:
        self.events: list[EventEntry] = []
        self.ends: dict[tuple[str, int], Ended] = {}
        self.outcomes_: dict[tuple[str, int], FinalOutcome] = {}
        self.complaints_: dict[tuple[str, int], Complaint] = {}
        self.claims: set[tuple[str, int]] = set()
        self.cursor = ""
        self.role = ("", 0.0)
        self.now = 1000.0
        self.admitted: dict[str, Submission] = {}
        self.submissions: list[Submission] = []
        self.read_outcomes = 0
        self.advanced = asyncio.Event()
        self.refusals: dict[str, Reply] = {}
        #: How many more points are passed before the process dies.
        self.fuse = -1

    def add(self, *settled: tuple[str, FinalOutcome]) -> None:
        """One stream entry with these outcomes, each with the kind of its event."""
        stream_id = f"{len(self.events) + 1:013d}-0"
        for kind, outcome in settled:
            entry = EventEntry(stream_id, outcome.delivery_id, kind, outcome.fence)
            self.events.append(entry)
            self.outcomes_[outcome.delivery_id, outcome.fence] = outcome
            if entry.report_due:
                self.claims.add((outcome.delivery_id, outcome.fence))

    async def point(self) -> None:
        """A point at which the process may die, or another may run."""
        await asyncio.sleep(0)
        if self.fuse == 0:
            raise Crash
        self.fuse -= 1

    async def hold_role(self, consumer: str, holder: str, ttl_ms: int) -> bool:
        await self.point()
        held_by, until = self.role
        if held_by not in ("", holder) and until > self.now:
            return False
        self.role = (holder, self.now + ttl_ms / 1000) if ttl_ms else ("", 0.0)
        await self.point()
        return ttl_ms > 0

    async def read(self, consumer: str, count: int) -> Sequence[EventEntry]:
        await self.point()
        return [entry for entry in self.events if entry.stream_id > self.cursor][:count]

    async def outcomes(
        self, entries: Sequence[EventEntry], octets: int
    ) -> Sequence[FinalOutcome | None]:
        await self.point()
        self.read_outcomes += len(entries)
        keys = [(entry.delivery_id, entry.fence) for entry in entries]
        return [self.outcomes_[key] if key in self.claims else None for key in keys]

    async def given_up(self, entries: Sequence[EventEntry]) -> Sequence[Ended | None]:
        await self.point()
        return [self.ends.get((entry.delivery_id, entry.fence)) for entry in entries]

    async def complaints(self, entries: Sequence[EventEntry]) -> Sequence[Complaint | None]:
        await self.point()
        return [self.complaints_.get((entry.delivery_id, entry.fence)) for entry in entries]

    async def close(self, outcomes: Sequence[FinalOutcome]) -> None:
        await self.point()
        for outcome in outcomes:
            self.claims.discard((outcome.delivery_id, outcome.fence))
        await self.point()

    async def advance(self, consumer: str, stream_id: str) -> None:
        await self.point()
        self.cursor = max(self.cursor, stream_id)
        self.advanced.set()
        await self.point()

    def submit(self, submission: Submission) -> asyncio.Future[Accepted]:
        return asyncio.ensure_future(self._admit(submission))

    async def _admit(self, submission: Submission) -> Accepted:
        await self.point()
        refusal = self.refusals.get(submission.envelope.recipients[0].address)
        if refusal:
            raise SubmissionRefused(refusal)
        repeated = submission.id in self.admitted
        self.submissions.append(submission)
        self.admitted.setdefault(submission.id, submission)
        await self.point()
        return Accepted(submission.id, repeated)
