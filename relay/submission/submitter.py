"""Admits submissions in the store, and rings their queues."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from relay import log, metrics, tracing
from relay.errors import (
    IdempotencyConflict,
    NotReplicated,
    RelayError,
    ShareExceeded,
    StoreFull,
    StoreUnavailable,
    SubmissionRefused,
)
from relay.mail.ids import CHANCE_BITS, message_id
from relay.mail.reply import Reply
from relay.store.admission import Admission, NewMessage
from relay.store.keys import CHUNK, reference
from relay.submission.prepare import digest, prepare
from relay.submission.submission import Accepted, Submission

_log = log.logger("relay.submission")

FULL = Reply(452, "4.3.1", "The queue is full, try again later")
SHARE = Reply(452, "4.3.1", "Your messages take up their share of the queue, try again later")
CONFLICT = Reply(554, "5.5.4", "This idempotency key was used for another message")
#: How often content is stored again when its chunks were gone before the message was admitted.
_MOST_TRIES = 3
#: Partitions that are tried for a message; half of all may lie on one node, side by side.
_MOST_STEPS = 1024
#: Seconds that cancelling a message may take which its submitter is to hear was not accepted.
_WITHDRAWAL = 5.0

#: Cancels a message; how many of its deliveries may be sent all the same.
Withdraw = Callable[[str], Awaitable[int]]


class Submitter:
    """Takes messages in. `ring` gets the queues that need a worker, as references.

    `full` says whether the store has no room for so many octets.
    """

    def __init__(
        self,
        admission: Admission,
        partitions: int,
        ring: Callable[[Sequence[str]], None],
        full: Callable[[int], bool] = lambda _: False,
        withdraw: Withdraw | None = None,
    ) -> None:
        self._admission = admission
        self._partitions = partitions
        self._ring = ring
        self._full = full
        self._withdraw = withdraw
        self._withdrawing: set[asyncio.Task[None]] = set()

    def new_id(self, tenant: str = "", idempotency_key: str = "") -> str:
        """An id for a message, in the partition of its idempotency key where it has one."""
        chance = secrets.randbits(CHANCE_BITS)
        if self._partitions == 1:
            partition = 0
        elif idempotency_key:
            partition = int(digest(tenant, idempotency_key)[:8], 16) % self._partitions
        else:
            partition = self._some_partition(chance)
        return message_id(ms=time.time_ns() // 1_000_000, partition=partition, chance=chance)

    def _some_partition(self, chance: int) -> int:
        """Any; the next ones where one does not answer, as its node is away."""
        for step in range(_MOST_STEPS):
            partition = (chance + step) % self._partitions
            if self._admission.reachable(partition):
                return partition
        return chance % self._partitions

    def submit(self, submission: Submission) -> asyncio.Future[Accepted]:
        """Accept a message: it is durable when the future resolves.

        The future fails with SubmissionRefused or StoreUnavailable; after the latter the message
        may still be accepted.
        """
        accepted: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        # A DSN ends what takes up room, and there is no client to send it later.
        size = sum(map(len, submission.content))
        if submission.origin != "dsn" and self._full(size):
            accepted.set_exception(_failure(submission, StoreFull()))
            return accepted
        span = tracing.submission(
            submission.id, parent=submission.traceparent, **{"relay.way": submission.origin}
        )
        answer = self._begin(submission, size, span.context, accepted)
        if span.context:
            answer.add_done_callback(span.answered)
        return answer

    def _begin(
        self, submission: Submission, size: int, trace: str, accepted: asyncio.Future[Accepted]
    ) -> asyncio.Future[Accepted]:
        loop = asyncio.get_running_loop()
        if submission.idempotency_key and size > CHUNK:
            return loop.create_task(self._submit_keyed(submission, trace))
        message = prepare(submission, trace, self._admission.index)
        if self._admission.is_small(message):
            asked = self._admission.admit(message)
            asked.add_done_callback(
                partial(self._admitted, accepted, submission, message.partition)
            )
            return accepted
        return loop.create_task(self._submit_large(submission, message))

    def _admitted(
        self,
        accepted: asyncio.Future[Accepted],
        submission: Submission,
        partition: int,
        asked: asyncio.Future[list[bytes]],
    ) -> None:
        try:
            done = self._read(asked.result(), submission, partition)
        except NotReplicated as error:
            work = asyncio.ensure_future(self._give_up(accepted, submission, error))
            self._withdrawing.add(work)
            work.add_done_callback(self._withdrawing.discard)
        except Exception as error:  # noqa: BLE001 - every failure is the submitter's to hear
            failure = _failure(submission, error)
            if not accepted.cancelled():
                accepted.set_exception(failure)
        else:
            if not accepted.cancelled():
                accepted.set_result(done)

    async def _give_up(
        self, accepted: asyncio.Future[Accepted], submission: Submission, error: NotReplicated
    ) -> None:
        """First the message is cancelled, then its submitter hears that it is not accepted."""
        await self._cancel(submission)
        failure = _failure(submission, error)
        if not accepted.cancelled():
            accepted.set_exception(failure)

    async def _cancel(self, submission: Submission) -> None:
        """Not where the same is submitted again, under the same key or id, until it is accepted."""
        if self._withdraw is None or submission.idempotency_key or submission.origin == "dsn":
            return
        try:
            async with asyncio.timeout(_WITHDRAWAL):
                doubtful = await self._withdraw(submission.id)
        except (RelayError, TimeoutError) as error:
            # It stays accepted, and its submitter submits it again.
            _log.warning("a message was not withdrawn", id=submission.id, error=str(error))
            doubtful = 1
        else:
            metrics.WITHDRAWN.inc()
        metrics.POSSIBLE_DOUBLES.inc(doubtful)

    async def _submit_keyed(self, submission: Submission, trace: str) -> Accepted:
        """Its fingerprint takes a while, and must not hold up the loop."""
        message = await asyncio.to_thread(prepare, submission, trace, self._admission.index)
        return await self._submit_large(submission, message)

    async def _submit_large(self, submission: Submission, message: NewMessage) -> Accepted:
        try:
            for _ in range(_MOST_TRIES):
                answer = await self._admission.admit_large(message)
                if answer[0] != b"missing":
                    return self._read(answer, submission, message.partition)
            raise StoreUnavailable("the store lost the content's chunks before it was admitted")
        except NotReplicated as error:
            await self._cancel(submission)
            raise _failure(submission, error) from None
        except RelayError as error:
            raise _failure(submission, error) from None

    def _read(self, answer: list[bytes], submission: Submission, partition: int) -> Accepted:
        word, id_ = answer[0], answer[1].decode()
        if word == b"share":
            raise ShareExceeded(SHARE)
        if word == b"conflict":
            raise IdempotencyConflict(CONFLICT)
        if len(answer) > 2:
            self._ring([reference(partition, queue.decode()) for queue in answer[2:]])
        repeated = word == b"repeated"
        _tell(id_, submission, repeated=repeated)
        return Accepted(id_, repeated)


def _tell(id_: str, submission: Submission, *, repeated: bool) -> None:
    """A message is durable: it is counted and logged."""
    envelope, size = submission.envelope, sum(map(len, submission.content))
    if repeated:
        metrics.REPEATED[submission.origin].inc()
    else:
        metrics.ACCEPTED[submission.origin].inc()
        metrics.ACCEPTED_RECIPIENTS.inc(len(envelope.recipients))
        metrics.MESSAGE_BYTES.observe(size)
    log.accepted(
        id_,
        sender=envelope.sender,
        recipients=len(envelope.recipients),
        size=size,
        origin=submission.origin,
        client=submission.client,
        tenant=submission.tenant,
        repeated=repeated,
    )


def _failure(submission: Submission, error: Exception) -> Exception:
    """What the submitter is to hear of an error, which is counted."""
    if isinstance(error, StoreFull):
        error, reason = SubmissionRefused(FULL), "full"
    else:
        reason = _reason(error)
    metrics.REFUSED[submission.origin, reason].inc()
    if isinstance(error, SubmissionRefused):
        log.refused(
            error.reply,
            reason=reason,
            origin=submission.origin,
            client=submission.client,
            sender=submission.envelope.sender,
            tenant=submission.tenant,
        )
    return error


def _reason(error: Exception) -> str:
    if isinstance(error, IdempotencyConflict):
        return "conflict"
    return "share" if isinstance(error, ShareExceeded) else "store"
