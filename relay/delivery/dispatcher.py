"""The dispatcher: a process's egress paths, and what they share.

A queue that was rung is routed and given to its path; the path says what it wants, here it gets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct

from relay import log, metrics
from relay.delivery.book import LeaseBook, now
from relay.delivery.calling import Calling
from relay.delivery.conclude import Conclusions, left_of
from relay.delivery.doorstep import Doorstep, Granted, Parted
from relay.delivery.hand import Hand
from relay.delivery.idle import IdleSessions
from relay.delivery.intake import Intake
from relay.delivery.job import Job
from relay.delivery.nowhere import Nowhere
from relay.delivery.path import EgressPath, Queue
from relay.delivery.room import Room
from relay.delivery.route import Route, Router
from relay.delivery.supply import Leaser, Loader, Want
from relay.delivery.table import AttemptTable, Standing, TableOptions
from relay.delivery.unroutable import RouteFailure
from relay.errors import RelayError
from relay.mail.exchange import RecipientReply
from relay.mail.outcome import Failure
from relay.policy.notify import notify_of
from relay.policy.retry import RetrySchedule
from relay.policy.shaping import Shaping
from relay.smtp.connect import connect
from relay.smtp.options import ConnectOptions, Target
from relay.smtp.session import Session
from relay.smtp.tls import level
from relay.smtp.transaction import Transaction
from relay.store.codec import Flag
from relay.store.leasing import Grant, Lease, Leasing
from relay.store.paths import Path, Paths
from relay.store.spool import Spool

#: Seconds that sessions have for their QUIT when the process stops.
_FAREWELL = 1.0
_log = log.logger("relay.delivery")


class DispatchOptions(Struct, frozen=True, kw_only=True):
    """What a process delivers with. Times in seconds."""

    holder: str
    lease_s: float = 30.0
    table: TableOptions = TableOptions()
    schedule: RetrySchedule = RetrySchedule()
    #: Sessions without work that are kept at most.
    idle_sessions: int = 2000


class Dispatcher:
    """Takes queues on with `drain`; `stop` hands everything back."""

    def __init__(
        self,
        options: DispatchOptions,
        *,
        leasing: Leasing,
        spool: Spool,
        paths: Paths,
        shaping: Shaping,
        router: Router,
        connecting: ConnectOptions,
        ring: Callable[[Sequence[str]], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.stopping = False
        self.table = AttemptTable(options.table)
        self.room = Room(self.table)
        self.book = LeaseBook(options.lease_s)
        self.router = router
        self._options = options
        self._leasing = leasing
        self.partitions = leasing.partitions
        self._connecting = connecting
        self._leaser = Leaser(leasing, self.book)
        self._loader = Loader(spool, self._loaded)
        self._doorstep = Doorstep(paths, shaping, options.holder, ring)
        self.conclusions = Conclusions(
            leasing, self.book, options.schedule, lambda job: self.hand.end(job)
        )
        self.nowhere = Nowhere(self, self._leaser, paths, shaping)
        #: By what their sessions need, too: none is used for mail that needs more than it was
        #: opened with.
        self._paths: dict[tuple[Path, str], EgressPath] = {}
        self._intake = Intake(router, self._routed, self.do)
        self._tasks: set[asyncio.Task[None]] = set()
        self.calling = Calling(ring)
        self.idle = IdleSessions(options.idle_sessions)
        self.hand = Hand(
            self.table,
            leasing,
            options.lease_s,
            begin=self._begin,
            room=self.room.freed,
            lost=self.lost,
        )
        self._tended_at = now()
        metrics.ATTEMPTS_OPEN.set_function(self.book.__len__)

    # Queues.

    def drain(self, queues: Sequence[str]) -> None:
        """Take on queues that were rung ("<partition>/<name>")."""
        if not self.stopping:
            self._intake.take(queues)

    def _routed(self, queue: Queue, found: Route | RouteFailure) -> None:
        if self.stopping:
            return
        if isinstance(found, Route):
            self._path_of(found).add(queue, found)
        else:
            self.nowhere.take(queue, found)

    def _path_of(self, route: Route) -> EgressPath:
        name = Path(route.source, route.site)
        key = name, route.security
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = EgressPath(self, name, route)
        return path

    # What paths want.

    def want(self, path: EgressPath, queue: Queue, count: int, standing: Standing) -> None:
        """Lease `count` deliveries of a queue for a path whose site stands so."""
        self.table.take(count, standing)

        def granted(grant: Grant | None) -> None:
            leases = grant.leases if grant is not None else ()
            if self.stopping and leases:
                self.do(self.release(leases))
                leases = ()
            jobs = [job for lease in leases if (job := self._job(lease, path, standing))]
            self.table.give_back(count - len(jobs), standing)
            path.granted(queue, grant, jobs)
            self.room.freed()

        self._leaser.ask(Want(queue[0], queue[1], count, granted))

    def _job(self, lease: Lease, path: EgressPath, standing: Standing) -> Job | None:
        """The job of a lease; None where the delivery is not to be attempted."""
        if Flag.CANCEL in lease.flags or Flag.HOLD in lease.flags:
            self.conclusions.flagged(lease)
            return None
        return self.hand.take(lease, path, self.loop.time(), standing)

    def _begin(self, job: Job) -> None:
        """Get a job ready to be sent."""
        if job.lease.delivery.chunks:
            job.path.loaded((job,))
        else:
            self.hand.count(job, job.lease.delivery.size)
            self._loader.load(job)

    def _loaded(self, jobs: Sequence[Job]) -> None:
        by_path: dict[EgressPath, list[Job]] = {}
        for job in jobs:
            if job not in self.hand:
                continue
            if job.content is None:
                job.path.coming -= 1
                self.conclusions.without_content(job.lease)
                self.hand.end(job)
            elif self.stopping:
                job.path.coming -= 1
                self.hand_back(job)
            else:
                by_path.setdefault(job.path, []).append(job)
        for path, some in by_path.items():
            path.loaded(some)

    def enter(
        self, path: EgressPath, held: list[str], fresh: int, deliveries: int, granted: Granted
    ) -> None:
        """Ask the fleet's limits for connections and deliveries."""
        self._doorstep.enter(path, held, fresh, deliveries, granted)

    def leave(
        self, path: EgressPath, tokens: list[str], failure: Failure | None, parted: Parted
    ) -> None:
        """Give connections back."""
        self._doorstep.leave(path, tokens, failure, parted)

    async def connect(self, target: Target) -> Session | Failure:
        """A session with a host."""
        found = await connect(target, self._connecting)
        if isinstance(found, Session):
            metrics.CONNECTIONS.inc()
            metrics.TLS[found.tls or "none", level(found.tls, found.verified)].inc()
        else:
            metrics.CONNECTIONS_FAILED[found.phase].inc()
            _log.info(
                "no session", host=target.host, address=target.address, reply=str(found.reply)
            )
        return found

    def park(
        self, leases: Sequence[Lease], queues: Sequence[Queue], wait_ms: int, reason: str
    ) -> None:
        """Let queues rest, their leases given back: nothing of them is in hand."""
        _log.info(
            "parked",
            queues=len(queues),
            first=queues[0][1] if queues else "",
            wait=wait_ms / 1000,
            reason=reason,
        )
        self.do(self._park(list(leases), list(queues), wait_ms, reason))

    async def _park(
        self, leases: list[Lease], queues: list[Queue], wait_ms: int, reason: str
    ) -> None:
        await self.release(leases, wait_ms)
        by_partition: dict[int, list[str]] = {}
        for partition, name in queues:
            by_partition.setdefault(partition, []).append(name)
        park = self._leasing.park
        asked = (park(number, names, wait_ms, reason) for number, names in by_partition.items())
        for _, parked in await asyncio.gather(*asked):
            metrics.PARKED.inc(parked)

    # Jobs.

    def transaction(self, job: Job) -> Transaction:
        """What a session is to send for a job."""
        delivery = job.lease.delivery
        return Transaction(
            delivery.sender,
            tuple([recipient.address for recipient in delivery.recipients]),
            delivery.size,
            delivery.eight_bit,
            delivery.smtputf8,
            job.content,
            (lambda: self._loader.chunks(job)) if delivery.chunks else None,
            token=job,
            binary=delivery.binary,
            ret=delivery.ret,
            envid=delivery.envid,
            notify=notify_of(delivery.recipients),
            mt_priority=delivery.mt_priority,
            require_tls=delivery.require_tls,
            by_seconds=left_of(delivery.by_ms) if delivery.by_mode else 0,
            by_mode=delivery.by_mode,
        )

    def conclude(self, job: Job, session: Session, replies: Sequence[RecipientReply]) -> None:
        """A job's transaction went its whole way."""
        if session.served > 1:
            metrics.SESSIONS_REUSED.inc()
        self.conclusions.finished(job, session, replies)

    def broken(self, job: Job, session: Session, failure: Failure, *, doubt: bool) -> None:
        """A job's session ended."""
        metrics.CONNECTIONS_FAILED[failure.phase].inc()
        if not self.book.holds(job.lease) or (self.stopping and not doubt):
            self.hand_back(job)
        elif job.missing:
            self.conclusions.without_content(job.lease)
            self.hand.end(job)
        elif self.conclusions.is_free(job, session, failure, doubt=doubt):
            job.breaks += 1
            job.path.supply.put_back(job)
        else:
            self.conclusions.broken(job, session, failure, doubt=doubt)

    def hand_back(self, job: Job) -> None:
        """A job that has not begun is released, so that any worker may have it."""
        self.hand.end(job)
        self.do(self.release([job.lease]))

    async def release(self, leases: Sequence[Lease], wait_ms: int = 0) -> None:
        """Give leases back without an attempt."""
        for lease in leases:
            self.book.strike(lease)
        for words in await asyncio.gather(*self._leasing.release_all(leases, wait_ms)):
            lost = words.count(b"lost")
            metrics.LOST.inc(lost)
            metrics.RELEASED.inc(len(words) - lost)

    # The process.

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside; a store that is away ends it, and the queues are rung again."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(task.exception(), RelayError):
            _log.warning("not done", error=str(task.exception()))
        elif not task.cancelled() and task.exception() is not None:
            self.bug("a task failed", task)

    def bug(self, message: str, task: asyncio.Task[Any]) -> None:
        """Have an exception that nobody expected logged with its traceback."""
        context = {"message": message, "exception": task.exception(), "task": task}
        self.loop.call_exception_handler(context)

    async def tend(self) -> None:
        """Once every third of a lease: renew connections, forget idle paths; and after this process
        stood still too long, close its sockets first (invariant 8)."""
        moment = now()
        if moment - self._tended_at > self._options.lease_s:
            _log.warning("this process stood still", seconds=round(moment - self._tended_at))
            for path in list(self._paths.values()):
                path.staff.end(at_once=True)
        self._tended_at = moment
        for number, (key, path) in enumerate(list(self._paths.items())):
            path.staff.tend()
            if path.idle:
                self.table.forget(path)
                del self._paths[key]
            if number % 50 == 49:
                await asyncio.sleep(0)
        self.calling.forget()

    def lost(self, lease: Lease) -> None:
        """The store says that the lease is another's now, or that it was settled a moment ago."""
        if self.book.holds(lease) and not self.book.is_settling(lease):
            metrics.LOST.inc()
            self.book.strike(lease)

    def flagged(self, lease: Lease) -> None:
        """The store says that the lease's delivery is to be cancelled or held: what has not begun
        does not begin any more."""
        for job in self.hand:
            if job.lease is lease and job in job.path.supply:
                job.path.supply.remove(job)
                self.hand.end(job)
                self.conclusions.flagged(lease)

    async def stop(self, grace: float) -> None:
        """Hand everything back within `grace` seconds.

        What has not begun is released; what is before its final dot is aborted at half of the time;
        what is after it waits to the end, and is then settled as deferred, a possible double.
        """
        self.stopping = True
        self.room.close()
        ends_at = self.loop.time() + grace
        # The store may be away: what hosts and sessions are owed does not wait for it.
        self.do(self._leaser.close())
        paths = list(self._paths.values())
        leases = [lease for path in paths for lease in path.give_up()]
        for job in self.hand:
            if not job.attempted_at:
                self.hand.end(job)
                leases.append(job.lease)
        self.do(self.release(leases))
        for path in paths:
            path.staff.end(at_once=False)
        await self._until(lambda: not len(self.hand), ends_at - grace / 2)
        for job in self.hand:
            if job.session is not None and not job.session.in_doubt:
                job.session.abort()
        await self._until(lambda: not len(self.hand), ends_at)
        await self._until(self._parted, self.loop.time() + _FAREWELL)
        for path in paths:
            path.staff.end(at_once=True)
        await self._until(self._parted, self.loop.time() + _FAREWELL)
        await self._finish()

    def _parted(self) -> bool:
        """No session is left, so all connections are given back."""
        return not any(path.staff.has_sessions for path in self._paths.values())

    async def _finish(self) -> None:
        """Everything is handed back in this process: have the store know."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.conclusions.settler.drained()
        await self._doorstep.drained()
        await self.router.close()

    async def _until(self, done: Callable[[], bool], deadline: float) -> None:
        while not done() and self.loop.time() < deadline:  # noqa: ASYNC110 - many ends, one wait
            await asyncio.sleep(0.02)
