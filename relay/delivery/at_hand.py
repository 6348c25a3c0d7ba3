"""What is at hand for a path: jobs that can be sent, each domain's and tenant's in turn.

The store serves tenants in turn when it leases; a job that comes behind a hundred of another tenant
would wait for all of them here, if they went in the order in which they came.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from relay.delivery.job import Job

_Whose = tuple[str, str]


class AtHand:
    """Jobs in the order to send them: first in, first out for each domain's tenant."""

    def __init__(self) -> None:
        self._lines: OrderedDict[_Whose, deque[Job]] = OrderedDict()
        #: How many, for whoever asks at each delivery: a call of `len` costs more than the answer.
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Job]:
        return (job for line in self._lines.values() for job in line)

    def waiting_since(self, moment: float) -> int:
        """How many were at hand by then; of each line, those before the first that was not."""
        count = 0
        for line in self._lines.values():
            for job in line:
                if job.ready_at > moment:
                    break
                count += 1
        return count

    def append(self, job: Job) -> None:
        """A further job; the first of its line is served after one of each other line."""
        self._line(job).append(job)
        self.count += 1

    def put_back(self, job: Job) -> None:
        """A job that was taken and did not begin: it is the next."""
        self._line(job).appendleft(job)
        self._lines.move_to_end(_whose(job), last=False)
        self.count += 1

    def pop(self) -> Job:
        """Take the next one. Raises KeyError where there is none."""
        whose, line = self._lines.popitem(last=False)
        job = line.popleft()
        self.count -= 1
        if line:
            self._lines[whose] = line
        return job

    def remove(self, job: Job) -> None:
        """Take this very one. Raises ValueError where it is not there."""
        line = self._lines.get(_whose(job), deque())
        line.remove(job)
        self.count -= 1
        if not line:
            del self._lines[_whose(job)]

    def clear(self) -> list[Job]:
        """Take all."""
        jobs = list(self)
        self._lines.clear()
        self.count = 0
        return jobs

    def _line(self, job: Job) -> deque[Job]:
        return self._lines.setdefault(_whose(job), deque())


def _whose(job: Job) -> _Whose:
    return job.lease.queue, job.lease.tenant
