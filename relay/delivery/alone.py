"""Who is alone: jobs under which leases were lost, begun one after the other.

One of them may be what ends processes, and all that a dead process held is under suspicion. So the
store is told which one is begun with, and the next begins when that one is made, as far as it is up
to this process: what ends a process does so at once, as a rule, and slow hosts must not hold up
everybody's mail. One whose process ended again and again without a word of which it was has the
process to itself until its attempt has ended (docs/decisions/0016-poison.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from relay import log
from relay.delivery.job import Job
from relay.store.codec import GRAVE
from relay.store.leasing import Lease, Leasing

#: Seconds for which a job keeps the next one waiting at most, unless it is under grave suspicion.
_MAKING = 0.2
#: Losses at which a job is under grave suspicion at the earliest; its time doubles with each more.
_FIRST_GRAVE = 3
_MOST_DOUBLINGS = 8
_log = log.logger("relay.delivery")


class Alone:
    """`begin` hears of each job in its turn, `lost` of a lease that turns out to be another's;
    `holds` says whether a job is still in hand.
    """

    def __init__(
        self,
        leasing: Leasing,
        lease_s: float,
        *,
        begin: Callable[[Job], None],
        holds: Callable[[Job], bool],
        lost: Callable[[Lease], None],
    ) -> None:
        self._leasing = leasing
        self._lease_s = lease_s
        self._begin = begin
        self._holds = holds
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._now: Job | None = None
        #: Those under grave suspicion come last, for they take their time.
        self._waiting: tuple[deque[Job], deque[Job]] = (deque(), deque())

    @property
    def job(self) -> Job | None:
        """The one whose turn it is."""
        return self._now

    def __len__(self) -> int:
        return sum(map(len, self._waiting))

    def add(self, job: Job) -> None:
        """Begin with it when it is its turn."""
        if self._now is not None:
            self._waiting[_grave(job)].append(job)
            return
        self._now = job
        asked = self._leasing.begin(job.lease)
        asked.add_done_callback(lambda answer: self._named(job, answer))

    def made(self, job: Job) -> None:
        """It was handed to a session: that ends its turn, unless it is under grave suspicion."""
        if self._now is job and not _grave(job):
            self.end(job)

    def end(self, job: Job) -> None:
        """Its turn is over."""
        if self._now is job:
            self._loop.call_soon(self._next, job)

    def _named(self, job: Job, answer: asyncio.Future[list[bytes]]) -> None:
        """The store knows. Where it does not answer, nobody could say which job it was: no more."""
        error = answer.exception()
        if error is not None:
            _log.warning("begun without a word to the store", delivery=job.lease.id, why=str(error))
        elif answer.result()[0] == b"lost":
            self._lost(job.lease)
        if self._holds(job):
            self._loop.call_later(self._turn(job), self.end, job)
            self._begin(job)
        else:
            self.end(job)

    def _turn(self, job: Job) -> float:
        if not _grave(job):
            return _MAKING
        doublings = min(max(job.lease.losses - _FIRST_GRAVE, 0), _MOST_DOUBLINGS)
        return self._lease_s * 2.0**doublings

    def _next(self, before: Job) -> None:
        if self._now is not before:
            return
        self._now = None
        following = self._following()
        if following is not None:
            self.add(following)
        if following is None or following.lease.partition != before.lease.partition:
            asked = self._leasing.begin_none(before.lease.partition)
            asked.add_done_callback(lambda answer: answer.cancelled() or answer.exception())

    def _following(self) -> Job | None:
        for waiting in self._waiting:
            while waiting:
                job = waiting.popleft()
                if self._holds(job):
                    return job
        return None


def _grave(job: Job) -> bool:
    return job.lease.suspicion >= GRAVE
