"""A submission as the store takes it: grouped by domain, encoded, large content cut in chunks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from operator import attrgetter

from msgspec import structs

from relay.mail.delivery import MOST_RECIPIENTS, Delivery, Record
from relay.mail.envelope import Recipient
from relay.mail.ids import partition_of
from relay.policy.lanes import cost
from relay.policy.needs import Need, need_of, queue_of
from relay.policy.notify import asks_for_failures, hears_of_lateness
from relay.store.admission import NewDelivery, NewMessage
from relay.store.codec import NEEDFUL, VERSION, Flag, encode_delivery, encode_record
from relay.store.index import Index
from relay.store.keys import CHUNK, lane
from relay.submission.submission import Submission

# Looked up once, not for each message.
_USUAL, _REPORT = Need.USUAL, int(Flag.REPORT)
_ADDRESS = attrgetter("address")


def prepare(submission: Submission, trace: str, index: Index) -> NewMessage:
    """The message as the store takes it: record, content, and a delivery for each domain."""
    content, size = _pieces(submission.content)
    accepted_ms = time.time_ns() // 1_000_000
    envelope, key = submission.envelope, submission.idempotency_key
    need = need_of(envelope)
    common = Delivery(
        # An older process would send it as any other: it is to leave it to a newer one.
        NEEDFUL if need is not _USUAL or submission.by_mode else VERSION,
        accepted_ms,
        submission.expires_at_ms,
        size,
        envelope.sender,
        (),
        envelope.eight_bit,
        envelope.smtputf8,
        envelope.ret,
        envelope.envid,
        len(content) if len(content) > 1 else 0,
        envelope.mt_priority,
        envelope.binary,
        trace,
        envelope.require_tls,
        submission.by_ms,
        submission.by_mode,
    )
    deliveries = _deliveries(submission, common, need, index)
    return NewMessage(
        partition_of(submission.id),
        submission.id,
        digest(submission.tenant, key) if key else "",
        _fingerprint(submission) if key else "",
        encode_record(_record(submission, accepted_ms, size, len(deliveries))),
        content,
        deliveries,
        # A DSN ends what takes up room.
        submission.origin != "dsn",
    )


def _deliveries(
    submission: Submission, common: Delivery, need: Need, index: Index
) -> list[NewDelivery]:
    """One for each domain; `common` is what they have in common: all but their recipients."""
    lane_ = lane(submission.priority, submission.tenant)
    price = cost(submission.priority, submission.weight)
    late_ms = _late_ms(common, submission.envelope.recipients)
    return [
        NewDelivery(
            queue_of(domain, need),
            lane_,
            price,
            _REPORT if asks_for_failures(common.sender, recipients) else 0,
            submission.send_at_ms,
            submission.expires_at_ms,
            encode_delivery(structs.replace(common, recipients=recipients)),
            index.terms(submission.tags, map(_ADDRESS, recipients)),
            late_ms,
        )
        for domain, recipients in _by_domain(submission.envelope.recipients)
    ]


def _late_ms(common: Delivery, recipients: tuple[Recipient, ...]) -> int:
    """When the sender is to hear that it is late, 0 where it is not to (RFC 2852 section 4).

    One that is late already was reported by whoever had it then.
    """
    if common.by_ms <= common.accepted_ms or not common.by_mode.startswith("N"):
        return 0
    return common.by_ms if hears_of_lateness(common.sender, recipients) else 0


def _record(submission: Submission, accepted_ms: int, size: int, deliveries: int) -> Record:
    envelope = submission.envelope
    return Record(
        VERSION,
        accepted_ms,
        envelope.sender,
        size,
        deliveries,
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
        require_tls=envelope.require_tls,
        by_ms=submission.by_ms,
        by_mode=submission.by_mode,
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


def digest(tenant: str, idempotency_key: str) -> str:
    """What an idempotency key of a tenant is stored under."""
    return hashlib.sha256(f"{tenant}\0{idempotency_key}".encode()).hexdigest()[:32]


def _fingerprint(submission: Submission) -> str:
    if submission.fingerprint:
        return hashlib.sha256(submission.fingerprint.encode()).hexdigest()[:32]
    # As versions before TLS-Required told envelopes, so that a repeat is known as one.
    told = repr(submission.envelope).replace(", tls_optional=False)", ")")
    digest = hashlib.sha256(told.encode())
    skip = submission.trace
    for piece in submission.content:
        digest.update(memoryview(piece)[skip:])
        skip = max(0, skip - len(piece))
    return digest.hexdigest()[:32]
