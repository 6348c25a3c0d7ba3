"""Accepting a message: grouped into deliveries, admitted in the store, its queues rung.

The one way in for every kind of producer, DSNs included.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from msgspec import Struct

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
from relay.mail.delivery import MOST_RECIPIENTS, Delivery, Record
from relay.mail.envelope import Envelope, Priority, Recipient
from relay.mail.ids import CHANCE_BITS, message_id, partition_of
from relay.mail.reply import Reply
from relay.policy.lanes import cost
from relay.policy.notify import asks_for_failures
from relay.store.admission import Admission, NewDelivery, NewMessage
from relay.store.codec import VERSION, Flag, encode_delivery, encode_record
from relay.store.keys import CHUNK, lane, reference

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


class Submission(Struct, frozen=True, kw_only=True):
    """A message and what is asked for it. `id` comes from `Submitter.new_id`."""

    id: str
    envelope: Envelope
    #: Lines that end in CRLF, not dot-stuffed, with the trace header in front.
    content: tuple[bytes, ...]
    #: Octets of the trace header: it differs each time, so no fingerprint is made of it.
    trace: int = 0
    tenant: str = ""
    priority: Priority = Priority.NORMAL
    #: The share of the lane's turn that its messages get, 1 to 100.
    weight: int = 1
    idempotency_key: str = ""
    #: What tells two messages apart under one key; "" for the envelope and content themselves.
    fingerprint: str = ""
    #: Unix times in ms: not attempted before (0: now), and expired after (0: by the settings).
    send_at_ms: int = 0
    expires_at_ms: int = 0
    origin: str = "smtp"
    #: The client's address.
    client: str = ""
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    #: The trace that this is part of (relay.tracing), "" where there is none.
    traceparent: str = ""


class Accepted(Struct, frozen=True):
    """The message is durable under `id`; `repeated` where it was before."""

    id: str
    repeated: bool


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
            partition = int(_digest(tenant, idempotency_key)[:8], 16) % self._partitions
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
        message = _prepare(submission, trace)
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
        message = await asyncio.to_thread(_prepare, submission, trace)
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


def _digest(tenant: str, idempotency_key: str) -> str:
    return hashlib.sha256(f"{tenant}\0{idempotency_key}".encode()).hexdigest()[:32]


def _fingerprint(submission: Submission) -> str:
    if submission.fingerprint:
        return hashlib.sha256(submission.fingerprint.encode()).hexdigest()[:32]
    digest = hashlib.sha256(repr(submission.envelope).encode())
    skip = submission.trace
    for piece in submission.content:
        digest.update(memoryview(piece)[skip:])
        skip = max(0, skip - len(piece))
    return digest.hexdigest()[:32]


def _prepare(submission: Submission, trace: str) -> NewMessage:
    """The message as the store takes it: record, content, and a delivery for each domain."""
    envelope = submission.envelope
    content, size = _pieces(submission.content)
    chunks = len(content) if len(content) > 1 else 0
    accepted_ms = time.time_ns() // 1_000_000
    groups = _by_domain(envelope.recipients)
    lane_ = lane(submission.priority, submission.tenant)
    price = cost(submission.priority, submission.weight)
    deliveries = [
        NewDelivery(
            domain,
            lane_,
            price,
            int(Flag.REPORT if asks_for_failures(envelope.sender, recipients) else 0),
            submission.send_at_ms,
            submission.expires_at_ms,
            encode_delivery(
                Delivery(
                    VERSION,
                    accepted_ms,
                    submission.expires_at_ms,
                    size,
                    envelope.sender,
                    recipients,
                    envelope.eight_bit,
                    envelope.smtputf8,
                    envelope.ret,
                    envelope.envid,
                    chunks,
                    envelope.mt_priority,
                    envelope.binary,
                    trace,
                )
            ),
        )
        for domain, recipients in groups
    ]
    record = Record(
        VERSION,
        accepted_ms,
        envelope.sender,
        size,
        len(deliveries),
        submission.tenant,
        submission.priority.value,
        submission.origin,
        submission.client,
        submission.expires_at_ms,
        envelope.eight_bit,
        envelope.smtputf8,
        envelope.ret,
        envelope.envid,
        submission.tags,
        metadata=submission.metadata,
    )
    key = submission.idempotency_key
    return NewMessage(
        partition_of(submission.id),
        submission.id,
        _digest(submission.tenant, key) if key else "",
        _fingerprint(submission) if key else "",
        encode_record(record),
        content,
        deliveries,
        # A DSN ends what takes up room.
        submission.origin != "dsn",
    )


def _pieces(content: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], int]:
    """The content in one piece, or in chunks where it is large; and its size in octets."""
    size = sum(map(len, content))
    if size <= CHUNK:
        return (content if len(content) == 1 else (b"".join(content),)), size
    return tuple(cut for piece in content for cut in _cut(piece)), size


def _cut(piece: bytes) -> Iterable[bytes]:
    """The piece itself where it is small enough: what came in chunks is not copied."""
    if len(piece) <= CHUNK:
        return (piece,)
    return (piece[at : at + CHUNK] for at in range(0, len(piece), CHUNK))


def _by_domain(
    recipients: tuple[Recipient, ...],
) -> list[tuple[str, tuple[Recipient, ...]]]:
    """A group for each domain, at most MOST_RECIPIENTS in each."""
    if len(recipients) == 1:
        return [(recipients[0].domain, recipients)]
    by_domain: dict[str, list[Recipient]] = {}
    for recipient in recipients:
        by_domain.setdefault(recipient.domain, []).append(recipient)
    return [
        (domain, tuple(group[at : at + MOST_RECIPIENTS]))
        for domain, group in by_domain.items()
        for at in range(0, len(group), MOST_RECIPIENTS)
    ]
