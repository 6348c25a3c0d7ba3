"""From an outcome to the DSN about it: whom it lists, under which id, in which envelope. Pure."""

from __future__ import annotations

from hashlib import sha256

from msgspec import Struct

from relay.feedback.outbox import FinalOutcome
from relay.mail.delivery import Result
from relay.mail.dsn import EXPIRED, FULL_LIMIT, NOT_IN_TIME, Action, Report, Reported, dsn
from relay.mail.envelope import Envelope, Recipient
from relay.mail.ids import CHANCE_BITS, message_id, message_of, partition_of
from relay.mail.reply import Reply
from relay.policy.notify import wanted
from relay.submission import Submission

_ACTIONS = {
    "bounced": Action.FAILED,
    "expired": Action.FAILED,
    "suppressed": Action.FAILED,
    # To a host that does not know DSN, and so promises no report (RFC 3461 section 5.2.2).
    "delivered": Action.RELAYED,
    "late": Action.DELAYED,
}


class DsnOptions(Struct, frozen=True):
    """How DSNs are made."""

    #: Name of the reporting host, an A-label.
    host: str
    #: Whether any are sent.
    enabled: bool = True
    #: Address in their From field; "" for MAILER-DAEMON at the host.
    mailer: str = ""
    #: Address that they ask people to write to; "" for none.
    postmaster: str = ""
    #: Octets of a message that is returned whole at most.
    full_limit: int = FULL_LIMIT


def dsn_id(delivery_id: str, fence: int, at_ms: int) -> str:
    """The message id of the DSN about what a settle made final: always the same for the same one.

    It lies in the message's own partition, so that admitting it needs no other.
    """
    digest = sha256(f"dsn {delivery_id} {fence}".encode()).digest()
    chance = int.from_bytes(digest[:8], "big") >> (64 - CHANCE_BITS)
    return message_id(ms=at_ms, partition=partition_of(delivery_id), chance=chance)


def submission(outcome: FinalOutcome, options: DsnOptions) -> Submission | None:
    """The DSN about an outcome, ready to be submitted; None where the sender is not to be told."""
    record = outcome.record
    listed = reported(outcome)
    if not options.enabled or not listed or "@" not in record.sender:
        return None
    id_ = dsn_id(outcome.delivery_id, outcome.fence, outcome.at_ms)
    content = dsn(
        Report(
            id=id_,
            host=options.host,
            mailer=options.mailer,
            postmaster=options.postmaster,
            sender=record.sender,
            at_ms=outcome.at_ms,
            message=message_of(outcome.delivery_id)[0],
            accepted_ms=record.accepted_ms,
            recipients=listed,
            content=outcome.content,
            size=record.size,
            envid=record.envid,
            ret="HDRS" if record.require_tls else record.ret,
            full_limit=options.full_limit,
        )
    )
    return Submission(
        id=id_,
        envelope=Envelope(
            sender="",
            recipients=(Recipient(record.sender, notify="NEVER"),),
            eight_bit=not content.isascii(),
            smtputf8=not record.sender.isascii(),
            # What was to be kept from others is so in what is said about it (RFC 8689 section 5).
            require_tls=record.require_tls,
        ),
        content=(content,),
        tenant=record.tenant,
        idempotency_key=id_,
        # Another version of Relay may word it differently: it is the same DSN all the same.
        fingerprint=id_,
        origin="dsn",
    )


def reported(outcome: FinalOutcome) -> tuple[Reported, ...]:
    """The recipients that became final and whose sender wants to hear of it."""
    results = {result.recipient: result for result in outcome.results}
    return tuple(
        _reported(outcome, recipient, results[recipient.address])
        for recipient in outcome.recipients
        if recipient.address in results
        and results[recipient.address].fate in _ACTIONS
        and wanted(
            outcome.record.sender,
            recipient.notify,
            results[recipient.address].fate,
            passed_on=outcome.passed_on,
            relayed=outcome.relayed,
        )
    )


def _reported(outcome: FinalOutcome, recipient: Recipient, result: Result) -> Reported:
    reply = Reply(result.code, result.enhanced, result.text)
    return Reported(
        address=recipient.address,
        action=_ACTIONS[result.fate],
        status=_status(outcome, result, reply),
        orcpt=recipient.orcpt,
        host=outcome.host if result.code > 0 else "",
        diagnostic=str(reply) if result.code > 0 else result.text,
        # What expired was attempted last some time before it was given up; what an operator bounced
        # was given up without an attempt.
        attempted_ms=outcome.at_ms if result.code > 0 and _attempted(outcome, result) else 0,
    )


def _status(outcome: FinalOutcome, result: Result, reply: Reply) -> str:
    """What is returned as its time was over has a status of its own (RFC 2852 section 4)."""
    if result.fate == "expired":
        return NOT_IN_TIME if outcome.record.by_mode.startswith("R") else EXPIRED
    return EXPIRED if result.fate == "late" else reply.status


def _attempted(outcome: FinalOutcome, result: Result) -> bool:
    """Whether it became final by an attempt."""
    return outcome.attempted and result.fate not in ("expired", "late")
