"""Judging an attempt: from the replies to each recipient, what is to be recorded. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from relay.mail.delivery import Attempt, Delivery, Result
from relay.mail.envelope import Recipient
from relay.mail.outcome import Outcome
from relay.policy.notify import wanted
from relay.store.codec import VERSION, encode_attempt, encode_delivery
from relay.store.leasing import Lease, Settlement

#: Characters of a remote host's text that a record keeps.
_MOST_TEXT = 512


class Circumstances(Struct, frozen=True):
    """When and where an attempt was made; `at_ms` is a Unix time."""

    at_ms: int
    took_ms: int
    host: str = ""
    address: str = ""
    tls: str = ""
    #: By what the host's certificate was verified, "" where it was not.
    verified: str = ""
    #: The host knows DSN.
    dsn: bool = False
    #: It knows DELIVERBY.
    deliver_by: bool = False
    #: Empty where no host was to be asked.
    site: str = ""


def judge(
    lease: Lease, outcomes: Sequence[Outcome], where: Circumstances, *, wait_ms: int
) -> Settlement:
    """The settlement of an attempt with an outcome for each recipient, in order.

    Recipients that were deferred remain; `wait_ms` is how long they wait.
    """
    delivery = lease.delivery
    # A host that does not keep its time, or a relay that is to be traced (RFC 2852 section 4).
    relayed = bool(delivery.by_mode) and ("T" in delivery.by_mode or not where.deliver_by)
    results, left, report = [], [], False
    for recipient, outcome in zip(delivery.recipients, outcomes, strict=True):
        word = outcome.fate
        said = outcome.reply
        results.append(
            Result(recipient.address, word, said.code, said.enhanced, said.text[:_MOST_TEXT])
        )
        if word == "deferred":
            left.append(recipient)
        elif not report:
            report = wanted(
                delivery.sender, recipient.notify, word, passed_on=where.dsn, relayed=relayed
            )
    attempt = Attempt(
        VERSION,
        lease.attempts + 1,
        where.at_ms,
        where.took_ms,
        where.host,
        where.address,
        where.tls,
        tuple(results),
        where.dsn,
        where.verified,
        relayed,
    )
    final = len(left) < len(results)
    return Settlement(
        lease=lease,
        verb="later" if left else "final",
        wait_ms=wait_ms,
        body=_remaining(delivery, left) if left and final else b"",
        final=final,
        attempt=encode_attempt(attempt),
        event=_event(outcomes, report=report),
    )


def in_doubt(settlement: Settlement) -> Settlement:
    """The same, told as a possible double: the final dot was sent and its reply never came."""
    return structs.replace(settlement, event="p")


def flagged(lease: Lease) -> Settlement:
    """What to say of a delivery that was leased although a cancel or hold is asked for."""
    return Settlement(
        lease=lease, verb="later", wait_ms=0, body=b"", final=False, attempt=b"", event="f"
    )


def without_content(lease: Lease) -> Settlement:
    """What to say of a delivery whose content the store does not have."""
    return Settlement(
        lease=lease, verb="hold", wait_ms=0, body=b"", final=False, attempt=b"", event="f"
    )


def _remaining(delivery: Delivery, left: Sequence[Recipient]) -> bytes:
    return encode_delivery(structs.replace(delivery, recipients=tuple(left)))


def _event(outcomes: Sequence[Outcome], *, report: bool) -> str:
    """d, b or f; in upper case where the sender is to be told (`relay.store.outbox`)."""
    fates = {outcome.fate for outcome in outcomes}
    letter = "b" if "bounced" in fates else "d" if "delivered" in fates else "f"
    return letter.upper() if report else letter
