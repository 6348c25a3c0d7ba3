"""What a process has in hand: its jobs, counted in the attempt table, and those to be alone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from relay.delivery.job import Job
from relay.delivery.table import AttemptTable
from relay.store.codec import Flag
from relay.store.leasing import Lease

if TYPE_CHECKING:
    from relay.delivery.path import EgressPath


#: The longest time, in seconds, for which a job that is to be alone keeps the others waiting: what
#: ends a process does so at once, and slow hosts must not hold up everybody's mail.
_MAKING = 0.2


class Hand:
    """`begin` hears of each job that may be made ready to send, `room` when one has ended.

    A delivery under which a worker's lease was lost may be what ended the worker: of those only
    one is in the making at a time, until it is handed to a session, so that the next loss tells
    which it was.
    """

    def __init__(
        self, table: AttemptTable, begin: Callable[[Job], None], room: Callable[[], None]
    ) -> None:
        self._table = table
        self._begin = begin
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._jobs: set[Job] = set()
        self._alone: Job | None = None
        self._to_be_alone: deque[Job] = deque()

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs))

    def __len__(self) -> int:
        return len(self._jobs)

    def take(self, lease: Lease, path: EgressPath, now: float, *, proven: bool) -> Job:
        """The job of a lease, for which there is room in the table already."""
        job = Job(lease, path, now, proven=proven)
        self._jobs.add(job)
        return job

    def start(self, job: Job) -> None:
        """Begin with a job, unless it is to be alone and another one of those is in the making."""
        if job.lease.flags & Flag.ALONE:
            if self._alone is not None:
                self._to_be_alone.append(job)
                return
            self._alone = job
            self._loop.call_later(_MAKING, self.made, job)
        self._begin(job)

    def made(self, job: Job) -> None:
        """The job is made, as far as that is up to this process: another one may be alone."""
        if self._alone is job:
            self._alone = None
            self._loop.call_soon(self._next_alone)

    def _next_alone(self) -> None:
        while self._to_be_alone and self._alone is None:
            following = self._to_be_alone.popleft()
            if following in self._jobs:
                self.start(following)

    def count(self, job: Job, octets: int) -> None:
        """The job's content is on its way into this process."""
        job.octets = octets
        self._table.load(octets)

    def end(self, job: Job) -> None:
        """The job is over, whatever became of it."""
        if job not in self._jobs:
            return
        self._jobs.discard(job)
        self._table.give_back(1, proven=job.proven)
        self._table.load(-job.octets)
        job.octets, job.content = 0, None
        self.made(job)
        self._room()

    def shown(self) -> list[dict[str, Any]]:
        """The jobs, as JSON fields."""
        moment = self._loop.time()
        return [
            {
                "delivery": job.lease.id,
                "domain": job.lease.queue,
                "site": job.path.name.site,
                "fence": job.lease.fence,
                "leased_s": round(moment - job.leased_at, 3),
                "sending": bool(job.attempted_at),
            }
            for job in self
        ]
