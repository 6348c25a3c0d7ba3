"""Concluding an attempt: its outcome judged, settled, counted and logged."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from relay import log, metrics, tracing
from relay.delivery.book import LeaseBook
from relay.delivery.job import Job
from relay.delivery.judge import Circumstances, flagged, in_doubt, judge, without_content
from relay.delivery.settling import Settler
from relay.mail.exchange import RecipientReply
from relay.mail.outcome import Bounced, Deferred, Failure, Outcome, Scope
from relay.mail.reply import Reply
from relay.policy.category import category
from relay.policy.classify import classify
from relay.policy.needs import domain_of
from relay.policy.retry import RetrySchedule, wait
from relay.smtp.session import Session
from relay.store.leasing import Lease, Leasing, Settlement

#: Sessions that may end under a job, before anything of it was sent, without costing an attempt:
#: a host may close an idle session just as it is used again.
_FREE_BREAKS = 1


#: A delivery that is older, in seconds, has its message's id in the metrics; of others one in so
#: many.
_LONG = 1.0
_EXAMPLES = 100

_log = log.logger("relay.delivery")


def left_of(at_ms: int) -> int:
    """Seconds until then, by the worker's clock; below 0 once it is over."""
    return (at_ms - time.time_ns() // 1_000_000) // 1000


class Conclusions:
    """Takes attempts to their settlement; `ended` hears of each job that is through."""

    def __init__(
        self,
        leasing: Leasing,
        book: LeaseBook,
        schedule: RetrySchedule,
        ended: Callable[[Job], None],
    ) -> None:
        self._book = book
        self._schedule = schedule
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self.settler = Settler(leasing, book, self._settled)
        #: Jobs concluded by this process.
        self.count = 0

    def finished(self, job: Job, session: Session, replies: Sequence[RecipientReply]) -> None:
        """Each recipient has its reply."""
        outcomes = [classify(one.reply, one.scope) for one in replies]
        self._settle(job.lease, outcomes, self._where(job, session))
        self._ended(job)

    def broken(self, job: Job, session: Session, failure: Failure, *, doubt: bool) -> None:
        """The session ended first: every recipient is deferred."""
        outcome = Deferred(failure.reply, failure.scope)
        outcomes: list[Outcome] = [outcome] * len(job.lease.delivery.recipients)
        if doubt:
            metrics.POSSIBLE_DOUBLES.inc()
        self._settle(job.lease, outcomes, self._where(job, session), doubt=doubt)
        self._ended(job)

    def is_free(self, job: Job, session: Session, failure: Failure, *, doubt: bool) -> bool:
        """Whether a session's end costs the job no attempt: nothing was tried of it."""
        if doubt or job.breaks >= _FREE_BREAKS:
            return False
        return failure.phase in ("mail", "reset") and session.served > 1

    def unroutable(self, lease: Lease, reply: Reply) -> None:
        """The domain takes no mail, for good: every recipient is bounced, no host was asked."""
        outcomes: list[Outcome] = [Bounced(reply, Scope.SITE)] * len(lease.delivery.recipients)
        where = Circumstances(at_ms=time.time_ns() // 1_000_000, took_ms=0)
        self._settle(lease, outcomes, where)

    def flagged(self, lease: Lease) -> None:
        """The delivery was cancelled or held while it was leased or ready."""
        self.settler.add(flagged(lease))

    def without_content(self, lease: Lease) -> None:
        """The store has no content for it: it is held, and somebody has to look."""
        _log.error("content missing", id=lease.message, delivery=lease.id)
        self.settler.add(without_content(lease))

    def _where(self, job: Job, session: Session) -> Circumstances:
        took = self._loop.time() - job.attempted_at
        return Circumstances(
            at_ms=time.time_ns() // 1_000_000,
            took_ms=round(took * 1000),
            host=session.target.host,
            address=session.target.address,
            tls=session.tls,
            verified=session.verified,
            dsn=session.features.dsn,
            deliver_by=session.features.deliver_by,
            site=job.path.name.site,
        )

    def _settle(
        self,
        lease: Lease,
        outcomes: Sequence[Outcome],
        where: Circumstances,
        *,
        doubt: bool = False,
    ) -> None:
        self.count += 1
        wait_ms = self._wait(lease) if Deferred in map(type, outcomes) else 0
        settlement = judge(lease, outcomes, where, wait_ms=wait_ms)
        self.settler.add(in_doubt(settlement) if doubt else settlement)
        self._tell(lease, outcomes, where, wait_ms)

    def _wait(self, lease: Lease) -> int:
        """How long what is left of the delivery waits, in milliseconds."""
        return wait(self._schedule, attempts=lease.attempts + 1, jitter=random.random())  # noqa: S311 - not secret

    def _tell(
        self, lease: Lease, outcomes: Sequence[Outcome], where: Circumstances, wait_ms: int
    ) -> None:
        age = (where.at_ms - lease.delivery.accepted_ms) / 1000
        self._count(lease, outcomes, where, max(age, 0.0))
        if lease.delivery.trace:
            _trace(lease, outcomes, where)
        for recipient, outcome in zip(lease.delivery.recipients, outcomes, strict=True):
            word = outcome.fate
            log.fate(
                word,
                lease.message,
                recipient.address,
                outcome.reply,
                sender=lease.delivery.sender,
                domain=domain_of(lease.queue),
                site=where.site,
                host=where.host,
                address=where.address,
                tls=where.tls,
                verified=where.verified,
                attempt=lease.attempts + 1,
                took=where.took_ms / 1000,
                age=age,
                wait=wait_ms / 1000 if word == "deferred" else 0.0,
                size=lease.delivery.size,
                tenant=lease.tenant,
            )

    def _count(
        self, lease: Lease, outcomes: Sequence[Outcome], where: Circumstances, age: float
    ) -> None:
        took, example = where.took_ms / 1000, self._example(lease, age)
        metrics.ATTEMPTS.inc()
        metrics.ATTEMPT_SECONDS.observe(took)
        if not lease.attempts:
            metrics.FIRST_ATTEMPT_SECONDS.observe(max(age - took, 0.0), example)
        tenant = metrics.TENANTS.of(lease.tenant or metrics.NO_TENANT)
        site = metrics.SITES.of(where.site) if where.site else None
        if site is not None:
            site.took(took)
        for outcome in outcomes:
            word = outcome.fate
            metrics.OUTCOMES[word, metrics.reply_class(outcome.reply.code)].inc()
            tenant[word] += 1
            if site is not None:
                site.outcomes[word] += 1
            if word == "delivered":
                metrics.DELIVERED_SECONDS.observe(age, example)
                continue
            about = category(outcome.reply)
            metrics.FAILURES[word, about].inc()
            if site is not None:
                site.categories[about] += 1

    def _example(self, lease: Lease, age: float) -> dict[str, str] | None:
        """The exemplar of a delivery: its message's id, for those that took long and some others.

        To make one costs ten times what counting costs.
        """
        if age < _LONG and self.count % _EXAMPLES:
            return None
        return {"message": lease.message}

    def _settled(self, item: Settlement, word: str) -> None:
        """The store's answer; the lease is struck from the book after it."""
        if word == "lost":
            metrics.FENCED.inc()
            if self._book.holds(item.lease):
                metrics.LOST.inc()
            _log.warning("outcome refused: another holds the delivery", delivery=item.lease.id)
        elif item.verb == "hold" and word in ("settled", "done"):
            metrics.HELD["content"].inc()


def _trace(lease: Lease, outcomes: Sequence[Outcome], where: Circumstances) -> None:
    """Tell of an attempt as part of its message's trace: how many recipients had which end."""
    fates = Counter(outcome.fate for outcome in outcomes)
    attributes: dict[str, str | int] = {
        "relay.message": lease.message,
        "relay.attempt": lease.attempts + 1,
        "relay.domain": domain_of(lease.queue),
        "relay.site": where.site,
        "server.address": where.host,
        "network.peer.address": where.address,
        "relay.tls": where.tls,
        "relay.tls.verified": where.verified,
        "smtp.reply": outcomes[0].reply.code,
        **{f"relay.{word}": count for word, count in fates.items()},
    }
    tracing.attempt(lease.delivery.trace, where.took_ms / 1000, "attempt", attributes)
