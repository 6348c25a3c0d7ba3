"""Supply: leases for the paths that want work, and their content, many in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import Struct

from relay import log, metrics
from relay.delivery.book import LeaseBook, now
from relay.delivery.job import Job
from relay.store.leasing import MOST_DELIVERIES, Grant, Leasing
from relay.store.spool import ContentMissing, Spool

_log = log.logger("relay.delivery")
#: Octets of content that one round trip brings, about.
_MOST_OCTETS = 4 << 20
_PAUSE = 1.0

Granted = Callable[[Grant | None], None]


class Want(Struct):
    """A path asks for `count` deliveries of a queue; `granted` hears None for no answer."""

    partition: int
    queue: str
    count: int
    granted: Granted


class Leaser:
    """One lease call in flight a partition; all that is wanted meanwhile goes in the next."""

    def __init__(self, leasing: Leasing, book: LeaseBook) -> None:
        self._leasing = leasing
        self._book = book
        self._loop = asyncio.get_running_loop()
        self._wants: dict[int, list[Want]] = {}
        self._busy: dict[int, asyncio.Task[None]] = {}
        self.closed = False

    def ask(self, want: Want) -> None:
        """Have `want.granted` called with a grant, or with None."""
        if self.closed:
            self._loop.call_soon(want.granted, None)
            return
        self._wants.setdefault(want.partition, []).append(want)
        if want.partition not in self._busy:
            task = self._loop.create_task(self._run(want.partition))
            self._busy[want.partition] = task

    async def close(self) -> None:
        """Ask for nothing more; wait for the call in flight."""
        self.closed = True
        await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _run(self, partition: int) -> None:
        wants = self._wants[partition]
        try:
            while wants and not self.closed:
                batch = wants[:MOST_DELIVERIES]
                del wants[:MOST_DELIVERIES]
                await self._call(partition, batch)
        finally:
            del self._busy[partition]
            self._tell([(want, None) for want in wants])
            wants.clear()

    async def _call(self, partition: int, batch: Sequence[Want]) -> None:
        asked_at = now()
        try:
            grants = await self._leasing.lease(
                partition, [(want.queue, want.count) for want in batch]
            )
        except Exception as error:  # noqa: BLE001 - whoever asked waits for the answer
            _log.warning("no leases", error=str(error), queues=len(batch))
            self._tell([(want, None) for want in batch])
            return
        for grant in grants:
            for lease in grant.leases:
                self._book.enter(lease, asked_at)
        metrics.LEASED.inc(sum(len(grant.leases) for grant in grants))
        answers = list(zip(batch, grants, strict=True))
        # A call grants so many and no more: who came too late for this one is first in the next.
        late = [want for want, grant in answers if grant.more and not grant.leases]
        self._wants[partition][:0] = late
        self._tell([one for one in answers if one[1].leases or not one[1].more])

    def _tell(self, answers: Sequence[tuple[Want, Grant | None]]) -> None:
        """Give each its answer, whatever the others make of theirs."""
        for want, grant in answers:
            try:
                want.granted(grant)
            except Exception as error:  # noqa: BLE001 - a bug; the others must not wait for ever
                context = {"message": "taking leases failed", "exception": error}
                self._loop.call_exception_handler(context)


class Loader:
    """Loads the content of jobs; `loaded` gets them, those without content whose is missing."""

    def __init__(self, spool: Spool, loaded: Callable[[Sequence[Job]], None]) -> None:
        self._spool = spool
        self._loaded = loaded
        self._loop = asyncio.get_running_loop()
        self._jobs: dict[int, list[Job]] = {}

    def load(self, job: Job) -> None:
        """Have the job's content loaded."""
        partition = job.lease.partition
        jobs = self._jobs.setdefault(partition, [])
        jobs.append(job)
        if len(jobs) == 1:
            self._loop.call_soon(self._go, partition)

    async def chunks(self, job: Job) -> AsyncIterator[bytes]:
        """The content of a job that lies in chunks. Raises ContentMissing, and marks the job."""
        lease = job.lease
        try:
            async for chunk in self._spool.chunks(
                lease.partition, lease.message, lease.delivery.chunks
            ):
                yield chunk
        except ContentMissing:
            job.missing = True
            raise

    def _go(self, partition: int) -> None:
        jobs, self._jobs[partition] = self._jobs[partition], []
        while jobs:
            batch = _portion(jobs)
            self._ask(partition, batch)

    def _ask(self, partition: int, batch: Sequence[Job]) -> None:
        asked = self._spool.whole(partition, [job.lease.message for job in batch])
        asked.add_done_callback(lambda answer: self._answered(partition, batch, answer))

    def _answered(
        self, partition: int, batch: Sequence[Job], answer: asyncio.Future[list[bytes | None]]
    ) -> None:
        error = answer.exception()
        if error is not None:
            _log.warning("content not loaded yet", error=str(error), jobs=len(batch))
            self._loop.call_later(_PAUSE, self._ask, partition, batch)
            return
        for job, content in zip(batch, answer.result(), strict=True):
            job.content = content
        self._loaded(batch)


def _portion(jobs: list[Job]) -> list[Job]:
    """Take what one round trip is to bring."""
    octets = count = 0
    for job in jobs[:MOST_DELIVERIES]:
        octets += job.lease.delivery.size
        if count and octets > _MOST_OCTETS:
            break
        count += 1
    portion = jobs[:count]
    del jobs[:count]
    return portion
