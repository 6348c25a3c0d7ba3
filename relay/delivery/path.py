"""An egress path in this process: the queues that go to one site, what is leased for them, and the
sessions that send it.

Order of work: queues are rung, connections granted, deliveries leased (no more than are granted and
can be sent soon), content loaded, sessions opened; a session then pulls its transactions from here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from relay import metrics
from relay.delivery.ahead import WAIT, Ahead
from relay.delivery.at_hand import AtHand
from relay.delivery.job import Job
from relay.delivery.route import Route
from relay.delivery.staff import Staff
from relay.delivery.table import Standing
from relay.delivery.unroutable import insufficient
from relay.mail.exchange import RecipientReply
from relay.mail.outcome import Failure
from relay.smtp.session import Session
from relay.smtp.transaction import Transaction
from relay.store.leasing import Grant, Lease

if TYPE_CHECKING:
    from relay.delivery.dispatcher import Dispatcher
    from relay.store.paths import Path

#: Queues that a path remembers.
_MOST_SERVED = 8
#: Queues of a path for which others are called at a time.
_MOST_OFFERED = 8

Queue = tuple[int, str]


class EgressPath:
    """One (egress source, site). The driver of its sessions."""

    def __init__(self, dispatcher: Dispatcher, name: Path, route: Route) -> None:
        self.dispatcher = dispatcher
        self.name = name
        self.route = route
        self.queues: OrderedDict[Queue, None] = OrderedDict()
        #: Jobs with their content.
        self.supply = AtHand()
        #: Jobs asked for or without their content yet.
        self.coming = 0
        #: Deliveries that may still be leased under the last grant.
        self.allowance = 0
        self.ahead = Ahead()
        self.staff = Staff(self)
        #: When it took mail last, soon or after long.
        self._quick = self._slow = -1e9
        #: Queues that are being leased from; True where one was rung again meanwhile, so that an
        #: answer that it is empty may be older than the ring.
        self._asked: dict[Queue, bool] = {}
        #: Queues served here before, the latest last: what waits for this path is likely theirs.
        self._served: OrderedDict[Queue, None] = OrderedDict()
        #: The queues are looked at on suspicion; where they are empty, others get the sessions.
        self._suspects = False
        #: Leases that were asked for: of each queue, and in all.
        self._shares: dict[Queue, int] = {}
        self._coming_leases = 0

    @property
    def idle(self) -> bool:
        """Nothing is in hand and nothing is wanted: the path may be forgotten."""
        return self.dry and not self.staff.busy

    @property
    def wanting(self) -> bool:
        """There may be more to lease."""
        return bool(self.queues or self._asked)

    @property
    def dry(self) -> bool:
        """Nothing is left to be sent here, as far as is known."""
        return not (self.wanting or self.supply.count or self.coming)

    @property
    def standing(self) -> Standing:
        """How much of the attempt table the path may use."""
        now = self.dispatcher.loop.time()
        return self.dispatcher.table.standing(self._quick, self._slow, now)

    def add(self, queue: Queue, route: Route) -> None:
        """A queue was rung: it may have ready deliveries."""
        self.route = route
        self.queues[queue] = None
        if queue in self._asked:
            self._asked[queue] = True
        self.advance()

    def advance(self) -> None:
        """Do whatever can be done now: feed idle sessions, lease, and open sessions."""
        if self.supply.count:
            self.staff.feed()
        if self.queues and not self.dispatcher.stopping:
            self._lease()
        self.staff.fill()

    # Leasing.

    def _lease(self) -> None:
        at_hand = self.supply.count + self.coming
        if at_hand > self.ahead.jobs // 2 or (self._asked and self.dispatcher.partitions == 1):
            return
        partition = self._unasked()
        if partition is None:
            return
        # What was asked of other partitions may be on its way for long, as a node is away.
        allowance = self.allowance - self._coming_leases
        if not self.staff.has_place or allowance <= 0:
            self.staff.ask(deliveries=self.ahead.jobs)
            return
        standing = self.standing
        count = min(self.ahead.jobs - at_hand, allowance, self.dispatcher.table.room(standing))
        if count <= 0:
            self.dispatcher.room.wait(self, standing)
            return
        names = [queue for queue in self.queues if queue[0] == partition][:count]
        share = max(1, count // len(names))
        for queue in names:
            self._asked[queue] = False
            self._coming_leases += share
            self._shares[queue] = share
            self.dispatcher.want(self, queue, share, standing)

    def _unasked(self) -> int | None:
        """A partition of which nothing was asked yet, and that has a queue of ours."""
        if not self._asked:
            return next(iter(self.queues))[0]
        asking = {queue[0] for queue in self._asked}
        return next((queue[0] for queue in self.queues if queue[0] not in asking), None)

    def granted(self, queue: Queue, grant: Grant | None, jobs: Sequence[Job]) -> None:
        """The answer to a wish for leases; `jobs` are those to be attempted."""
        rung_again = self._asked.pop(queue)
        self._coming_leases -= self._shares.pop(queue)
        if grant is None or not (grant.more or rung_again):
            self.queues.pop(queue, None)
        else:
            self.queues[queue] = None
            self.queues.move_to_end(queue)
            if grant.more and not self.supply and self.staff.any_idle:
                self._starved(queue)
        self.allowance -= len(jobs)
        self.coming += len(jobs)
        for job in jobs:
            self.dispatcher.hand.start(job)
        if jobs:
            self._suspects = False
            self._remember(queue)
        if self._suspects and not self.wanting:
            self._suspects = False
            self.staff.make_way()
        if not self._asked or not any(other[0] == queue[0] for other in self._asked):
            self.advance()

    def _starved(self, queue: Queue) -> None:
        """Sessions were faster than what was leased ahead: lease more at once, or have help."""
        if self.ahead.starved(len(self.staff.sessions)):
            self.dispatcher.calling.call(queue)

    def _remember(self, queue: Queue) -> None:
        self._served[queue] = None
        self._served.move_to_end(queue)
        if len(self._served) > _MOST_SERVED:
            self._served.popitem(last=False)

    def call_others(self) -> None:
        """Mail waits here for connections that other processes have."""
        if self.queues:
            self.dispatcher.calling.call(next(iter(self.queues)))

    def offer(self) -> None:
        """Mail waits here for room in the table: others may have it, and idle sessions' places."""
        for queue in islice(self.queues, _MOST_OFFERED):
            self.dispatcher.calling.call(queue)
        if self.staff.any_idle:
            self.staff.others.offer()

    def look_again(self) -> None:
        """Others are at this site, or were refused it, while there is nothing to do here: a queue
        of this path may have mail that was rung elsewhere; or the mail is another queue's, whose
        process needs the sessions."""
        if not (self.dry and self.staff.any_idle):
            return
        self._suspects = True
        self.queues.update(self._served)
        self.advance()

    def loaded(self, jobs: Sequence[Job]) -> None:
        """Jobs can be sent."""
        self.coming -= len(jobs)
        now = self.dispatcher.loop.time()
        for job in jobs:
            job.ready_at = now
            self.supply.append(job)
        self.staff.feed()
        if self.supply.count:
            self.staff.fill()

    def give_allowance_back(self) -> int:
        """Deliveries that were granted and will not begin: nothing is left to be sent here."""
        if self.queues or self.supply or self.coming:
            return 0
        unused, self.allowance = self.allowance, 0
        return unused

    def give_up(self) -> list[Lease]:
        """Let go of all that has not begun: the leases to be released."""
        jobs = self.supply.clear()
        for job in jobs:
            self.dispatcher.hand.end(job)
        return [job.lease for job in jobs]

    def refused(self, wait_ms: int, reason: str) -> None:
        """The site takes nothing now, and no session is left: nothing is to wait here."""
        leases = self.give_up()
        queues = list(self.queues)
        self.queues.clear()
        self.dispatcher.table.forget(self)
        for lease in leases:
            queue = (lease.partition, lease.queue)
            if queue not in queues:
                queues.append(queue)
        if queues:
            # What would have been sent is traffic too: who looks for a dead site is to find it.
            metrics.SITES.meet(self.name.site, len(leases) + len(queues))
            self.dispatcher.park(leases, queues, wait_ms, reason)

    def unsafe(self, failure: Failure) -> None:
        """The hosts lack what this mail needs, and no session is left. That is no fault of the
        site, whose other mail goes on: the queues rest by themselves, or their mail is returned."""
        leases = self.give_up()
        queues = dict.fromkeys([*self.queues, *((one.partition, one.queue) for one in leases)])
        self.queues.clear()
        self.dispatcher.table.forget(self)
        if queues:
            why = insufficient(failure, self.route.need)
            self.dispatcher.nowhere.unsafe(leases, list(queues), why)

    # What sessions ask and tell (relay.smtp.transaction.Driver).

    def next_transaction(self, session: Session) -> Transaction | None:
        """The next job that is at hand, for a session that may have it."""
        transaction = self._next(session)
        if transaction is not None:
            self.dispatcher.idle.remove(session)
        elif session.idle:
            self.dispatcher.idle.add(session)
        return transaction

    def _next(self, session: Session) -> Transaction | None:
        supply, desk = self.supply, self.dispatcher
        if not supply.count or not self.staff.may_send(session):
            return None
        now = desk.loop.time()
        while supply.count:
            job = supply.pop()
            if not desk.book.may_begin(job.lease):
                desk.hand_back(job)
                continue
            waited = now - job.ready_at
            if waited > WAIT:
                self.ahead.waited(waited, len(self.staff.sessions))
            job.attempted_at, job.session = now, session
            desk.hand.alone.made(job)
            if supply.count <= self.ahead.jobs // 2 and self.queues:
                desk.loop.call_soon(self.advance)
            return desk.transaction(job)
        return None

    def may_finish(self, session: Session, transaction: Transaction) -> bool:
        """Only while the lease is surely ours (invariant 3)."""
        return self.dispatcher.book.may_finish(transaction.token.lease)

    def finished(
        self, session: Session, transaction: Transaction, replies: Sequence[RecipientReply]
    ) -> None:
        """Each recipient has its reply."""
        job: Job = transaction.token
        now = self.dispatcher.loop.time()
        took = now - job.attempted_at
        if self.dispatcher.table.is_slow(took):
            self._slow = now
        else:
            self._quick = now
        self.ahead.answered(took)
        self.staff.succeeded(session, took)
        self.dispatcher.conclude(job, session, replies)
        if self.queues and not self.supply.count:
            self.advance()
        elif self.dry:
            self.staff.others.run_dry(took)

    def broken(
        self, session: Session, transaction: Transaction, failure: Failure, in_doubt: bool
    ) -> None:
        """The session ended under a transaction."""
        self.staff.failed(session, failure)
        self.dispatcher.broken(transaction.token, session, failure, doubt=in_doubt)

    def closed(self, session: Session) -> None:
        """A session is gone."""
        self.staff.closed(session)
        self.advance()
