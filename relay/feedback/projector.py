"""The projector of DSNs: reads a partition's events and submits the DSNs that they call for.

It also counts and logs what expired, or was cancelled or bounced by an operator: that is done by
scripts, on behalf of any process, and each event is read here once.

It may die between any two steps. A DSN's id derives from the delivery and the fence of the settle
that it is about, so that a repeat finds it submitted: one DSN a settle, never two.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from relay import log, metrics
from relay.errors import NewerRecord, StoreUnavailable, SubmissionRefused
from relay.feedback.outbox import Complaint, Ended, EventEntry, FinalOutcome, Outbox
from relay.feedback.report import DsnOptions, reported, submission
from relay.mail.ids import message_of
from relay.submission import Accepted, Submission

CONSUMER = "dsn"

_log = log.logger("relay.feedback")


class Submits(Protocol):
    """What takes a DSN in: `relay.submission.Submitter`."""

    def submit(self, submission: Submission) -> asyncio.Future[Accepted]:
        """Accept a message; a repeat under the same id is answered with `repeated`."""
        ...


class ProjectorOptions(Struct, frozen=True):
    """How a projector goes about it."""

    #: How long the role is held, in milliseconds; renewed before DSNs are made, and at half of it.
    role_ms: int = 30_000
    #: Events read at a time.
    count: int = 500
    #: DSNs made at a time: so many contents are in memory.
    window: int = 32
    #: Wait where there was nothing to do, and the longest wait where the store fails, in seconds.
    poll: float = 1.0
    longest_pause: float = 30.0


class Projector:
    """Projects one partition's events into DSNs, while it holds the role."""

    def __init__(
        self,
        outbox: Outbox,
        submitter: Submits,
        holder: str,
        dsns: DsnOptions,
        options: ProjectorOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._submitter = submitter
        self._holder = holder
        self._dsns = dsns
        self._options = options or ProjectorOptions()
        self._clock = clock
        self._held_until = 0.0
        #: Age of the oldest event not applied when it last looked, in seconds; 0 without the role.
        self.lag = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Project until `stopping` is set; then the role is given up."""
        pause = self._options.poll
        while not stopping.is_set():
            try:
                busy = await self.step() >= self._options.count
                pause = self._options.poll
            except (StoreUnavailable, SubmissionRefused) as error:
                busy = False
                pause = min(pause * 2, self._options.longest_pause)
                _log.warning("DSNs have to wait", why=str(error), seconds=pause)
            except NewerRecord as error:
                busy = False
                pause = self._options.longest_pause
                await self._leave(error)
            if not busy:
                await _wait(stopping, pause)
        await self._give_up_role()

    async def _leave(self, error: NewerRecord) -> None:
        """Events that a newer version wrote are for its projector: it may have the role."""
        metrics.UNREADABLE["newer"].inc()
        _log.error("DSNs are left to a newer process", error=str(error))
        await self._give_up_role()

    async def _give_up_role(self) -> None:
        self._held_until = 0.0
        with contextlib.suppress(StoreUnavailable):
            await self._outbox.hold_role(CONSUMER, self._holder, 0)

    async def step(self) -> int:
        """Apply the next events; how many, or 0 where there are none or another has the role.

        Raises StoreUnavailable, or SubmissionRefused where the queue takes nothing now: the same
        events come again at the next step, and those that were done cost nothing. Raises
        NewerRecord.
        """
        if not (self._holds_long() or await self._hold()):
            self.lag = 0.0
            return 0
        entries = await self._outbox.read(CONSUMER, self._options.count)
        self.lag = _age(entries)
        due = [entry for entry in entries if entry.report_due]
        for at in range(0, len(due), self._options.window):
            if not await self._hold() or not await self._apply(due[at : at + self._options.window]):
                return 0
        if entries:
            given_up = [entry for entry in entries if entry.given_up]
            ends = await self._outbox.given_up(given_up) if given_up else ()
            complained = [entry for entry in entries if entry.complained]
            complaints = await self._outbox.complaints(complained) if complained else ()
            await self._outbox.advance(CONSUMER, entries[-1].stream_id)
            metrics.PROJECTED[CONSUMER].inc(len(entries))
            for entry, end in zip(given_up, ends, strict=True):
                _tell(entry, end)
            for entry, complaint in zip(complained, complaints, strict=True):
                _tell_complaint(entry, complaint)
        return len(entries)

    def _holds_long(self) -> bool:
        """The role is held for half of its time at least; nothing was lost, as far as is known."""
        return self._held_until - self._clock() > self._options.role_ms / 2000

    async def _hold(self) -> bool:
        asked = self._clock()
        held = await self._outbox.hold_role(CONSUMER, self._holder, self._options.role_ms)
        self._held_until = asked + self._options.role_ms / 1000 if held else 0.0
        return held

    async def _apply(self, entries: Sequence[EventEntry]) -> bool:
        """Submit the DSNs of these events and close them; False where the role was lost."""
        found = await self._outbox.outcomes(entries, self._dsns.full_limit)
        outcomes = [outcome for outcome in found if outcome is not None]
        if self._clock() >= self._held_until:
            # Paused meanwhile: what was read may be long done and forgotten.
            return False
        asked = [(outcome, self._submit(outcome)) for outcome in outcomes]
        answers = await asyncio.gather(*(answer for _, answer in asked), return_exceptions=True)
        done = []
        failure: BaseException | None = None
        for outcome, answer in zip(outcomes, answers, strict=True):
            if isinstance(answer, BaseException) and not _refused_for_good(outcome, answer):
                failure = answer
            else:
                done.append(outcome)
        if done:
            await self._outbox.close(done)
        if failure is not None:
            raise failure
        return True

    async def _submit(self, outcome: FinalOutcome) -> None:
        try:
            message = submission(outcome, self._dsns)
        except Exception:  # noqa: BLE001 - a bug over one message must not stop the DSNs of all others
            metrics.DSNS_REFUSED.inc()
            _log.exception("a DSN could not be made", about=outcome.delivery_id)
            return
        if message is None:
            return
        accepted = await self._submitter.submit(message)
        if accepted.repeated:
            return
        log.reported(
            accepted.id,
            about=message_of(outcome.delivery_id)[0],
            sender=outcome.record.sender,
            recipients=len(reported(outcome)),
        )


def _refused_for_good(outcome: FinalOutcome, answer: BaseException) -> bool:
    """Whether the queue will never take this DSN, so that it must not hold up the others."""
    if not isinstance(answer, SubmissionRefused) or not answer.reply.permanent:
        return False
    metrics.DSNS_REFUSED.inc()
    _log.error("a DSN was refused", about=outcome.delivery_id, reply=str(answer.reply))
    return True


def _tell(entry: EventEntry, end: Ended | None) -> None:
    """Count and log each recipient of a delivery that was given up."""
    if end is None or end.delivery is None:
        return
    delivery = end.delivery
    message, number = message_of(entry.delivery_id)
    metrics.OUTCOMES[end.fate, "none"].inc(len(delivery.recipients))
    for recipient in delivery.recipients:
        log.fate(
            end.fate,
            message,
            recipient.address,
            end.reply,
            sender=delivery.sender,
            delivery=number,
            domain=recipient.domain,
            age=max(end.at_ms - delivery.accepted_ms, 0) / 1000,
            size=delivery.size,
        )


def _tell_complaint(entry: EventEntry, complaint: Complaint | None) -> None:
    """Count and log one that is not forgotten."""
    if complaint is None:
        return
    metrics.TENANTS.of(complaint.tenant or metrics.NO_TENANT)[metrics.COMPLAINED] += 1
    message, _ = message_of(entry.delivery_id)
    log.fate(
        "complained",
        message,
        complaint.recipient,
        domain=complaint.recipient.rpartition("@")[2],
        tenant=complaint.tenant,
        reason=complaint.kind,
    )


def _age(entries: Sequence[EventEntry]) -> float:
    """Seconds since the first of these events, by a stream id, which begins with its time in ms."""
    if not entries:
        return 0.0
    return max(0.0, time.time() - int(entries[0].stream_id.partition("-")[0]) / 1000)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
