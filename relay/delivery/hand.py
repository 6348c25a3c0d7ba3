"""What a process has in hand: its jobs, counted in the attempt table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from relay.delivery.alone import Alone
from relay.delivery.job import Job
from relay.delivery.table import AttemptTable, Standing
from relay.policy.needs import domain_of
from relay.store.codec import Flag
from relay.store.leasing import Lease, Leasing

if TYPE_CHECKING:
    from relay.delivery.path import EgressPath


class Hand:
    """`begin` hears of each job that may be made ready to send, `room` when one has ended, and
    `lost` of a lease that turns out to be another's.
    """

    def __init__(
        self,
        table: AttemptTable,
        leasing: Leasing,
        lease_s: float,
        *,
        begin: Callable[[Job], None],
        room: Callable[[], None],
        lost: Callable[[Lease], None],
    ) -> None:
        self._table = table
        self._begin = begin
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._jobs: set[Job] = set()
        self.alone = Alone(leasing, lease_s, begin=begin, holds=self._jobs.__contains__, lost=lost)

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs))

    def __len__(self) -> int:
        return len(self._jobs)

    def take(self, lease: Lease, path: EgressPath, now: float, standing: Standing) -> Job:
        """The job of a lease, for which there is room in the table already."""
        job = Job(lease, path, now, standing)
        self._jobs.add(job)
        return job

    def start(self, job: Job) -> None:
        """Begin with a job; with one that is to be alone, when it is its turn."""
        if Flag.ALONE in job.lease.flags:
            self.alone.add(job)
        else:
            self._begin(job)

    def count(self, job: Job, octets: int) -> None:
        """The job's content is on its way into this process."""
        job.octets = octets
        self._table.load(octets)

    def end(self, job: Job) -> None:
        """The job is over, whatever became of it."""
        if job not in self._jobs:
            return
        self._jobs.discard(job)
        self._table.end(job.octets, job.standing)
        job.octets, job.content = 0, None
        self.alone.end(job)
        self._room()

    def shown(self) -> list[dict[str, Any]]:
        """The jobs, as JSON fields."""
        moment = self._loop.time()
        return [
            {
                "delivery": job.lease.id,
                "domain": domain_of(job.lease.queue),
                "site": job.path.name.site,
                "fence": job.lease.fence,
                "leased_s": round(moment - job.leased_at, 3),
                "sending": bool(job.attempted_at),
            }
            for job in self
        ]
