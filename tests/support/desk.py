"""A worker's delivery without Celery: a store, a dispatcher and what rings it, in one loop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from msgspec import Struct, structs

from relay.delivery.dispatcher import Dispatcher, DispatchOptions
from relay.delivery.heartbeat import Heartbeat
from relay.delivery.route import RouteOptions, Router
from relay.delivery.table import TableOptions
from relay.errors import RelayError, StoreUnavailable
from relay.lookup.mta_sts import MtaSts
from relay.lookup.policy_file import PolicyFiles
from relay.lookup.resolver import Resolver, ResolverOptions
from relay.mail.envelope import Envelope, Recipient
from relay.policy.retry import RetrySchedule
from relay.policy.shaping import Limits, Shaping
from relay.smtp.options import ConnectOptions, SessionLimits, Timeouts
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import ClientOptions, StoreClient
from relay.store.codec import decode_outcome
from relay.store.leasing import Lease, LeaseOptions, Leasing
from relay.store.paths import PathOptions, Paths
from relay.store.script import Script, Text
from relay.store.spool import Spool
from relay.store.sts_shelf import StsShelf
from relay.store.timing import Timing, TimingOptions
from relay.store.wire import ReplyError
from relay.submission import Submission, Submitter
from relay.upkeep import Pump
from tests.support.queue import QueueStore

#: Seconds that anything on loopback may take before a test fails.
PATIENCE = 20.0
#: Seconds between two turns of the pump.
_TURN = 0.05


class Manner(Struct, frozen=True, kw_only=True):
    """How the worker is set; times in seconds."""

    lease: float = 30.0
    deadline: float = 0.5
    #: For how long the store's client repeats a call.
    patience: float = 1.0
    limits: Limits = Limits(initial=2, first_pause=0.3, longest_pause=0.6)
    table: TableOptions = TableOptions()
    retry: RetrySchedule = RetrySchedule()
    timeouts: Timeouts = Timeouts(connect=5, greeting=5, ehlo=5, mail=60, rcpt=60, data=60, dot=60)
    sessions: SessionLimits = SessionLimits()
    nameservers: tuple[str, ...] = ("127.0.0.1:9",)
    routing: RouteOptions = RouteOptions()
    #: The port at which MTA-STS policies are fetched; 0: none are.
    policy_port: int = 0
    #: Whether the nameserver validates.
    validating: bool = False
    #: File of the certificates that vouch for hosts.
    authorities: str = ""


class CountingClient(StoreClient):
    """Counts what is said: scripts by their names."""

    def __init__(self, address: Address, options: ClientOptions) -> None:
        super().__init__(address, options)
        self.said: Counter[str] = Counter()

    def call(
        self,
        what: Script,
        keys: Sequence[Text],
        args: Sequence[Text] = (),
        patience: float | None = None,
        *,
        confirmed: bool = False,
    ) -> asyncio.Future[Any]:
        """See StoreClient."""
        self.said[what.name] += 1
        return super().call(what, keys, args, patience, confirmed=confirmed)


class Worker:
    """One worker process's part, put together as its engine does it. Use as a context.

    `routes` maps domains to `host:port`. Whatever is rung is drained at once.
    """

    def __init__(
        self, store_url: str, routes: Mapping[str, str], manner: Manner | None = None
    ) -> None:
        self.manner = manner or Manner()
        self._url = store_url
        self._routes = dict(routes)
        self.holder = secrets.token_hex(3)
        self.errors: list[dict[str, Any]] = []
        self.rung: Counter[str] = Counter()
        #: What the worker is rung for is left undone while this is set.
        self.deaf = False
        self._pumping: asyncio.Task[None] | None = None
        self.stopped = False

    async def __aenter__(self) -> Self:
        manner, address = self.manner, Address.parse(self._url)
        self.loop = asyncio.get_running_loop()
        self._handler = self.loop.get_exception_handler()
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self.client = CountingClient(address, ClientOptions(patience=manner.patience))
        await self.client.start()
        self.queue = QueueStore(self.client)
        lease_ms, deadline_ms = round(manner.lease * 1000), round(manner.deadline * 1000)
        resolver = Resolver(
            ResolverOptions(
                nameservers=manner.nameservers, lifetime=1.0, validating=manner.validating
            )
        )
        files = PolicyFiles(
            resolver,
            lambda address: router.refusal(address),
            authorities=manner.authorities,
            port=manner.policy_port,
        )
        sts = MtaSts(resolver, files.fetch, StsShelf(self.client)) if manner.policy_port else None
        routing = structs.replace(manner.routing, routes=self._routes)
        self.router = router = Router(resolver, routing, sts=sts)
        leasing = LeaseOptions(lease_ms=lease_ms, deadline_ms=deadline_ms)
        self.dispatcher = Dispatcher(
            DispatchOptions(
                holder=self.holder,
                lease_s=manner.lease,
                table=manner.table,
                schedule=manner.retry,
            ),
            leasing=Leasing(self.client, 1, self.holder, leasing),
            spool=Spool(self.client, 1),
            paths=Paths(self.client, self.holder, PathOptions(lease_ms=lease_ms)),
            shaping=Shaping(manner.limits),
            router=router,
            connecting=ConnectOptions(
                hello="relay.example",
                permitted=router.may_connect,
                timeouts=manner.timeouts,
                limits=manner.sessions,
                authorities=manner.authorities,
            ),
            ring=self.ring,
        )
        self.heartbeat = Heartbeat(
            self.dispatcher.book,
            servers=address,
            partitions=1,
            holder=self.holder,
            lease_ms=lease_ms,
            lost=partial(self._on_loop, self.dispatcher.lost),
            flagged=partial(self._on_loop, self.dispatcher.flagged),
        )
        self.heartbeat.start()
        self.leasing = Leasing(self.client, 1, "another", leasing)
        timing = TimingOptions(lease_ms=lease_ms, deadline_ms=deadline_ms)
        self.pump = Pump(
            Timing(self.client, 1, timing), 1, ring=self.ring, depth=_nothing, slots=lambda: 1
        )
        admission = AdmissionOptions(deadline_ms=deadline_ms)
        self.submitter = Submitter(Admission(self.client, 1, admission), 1, self.ring)
        self._pumping = self.loop.create_task(self._pump())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.stopped:
            await self.stop(2.0)
        self.heartbeat.stop()
        await self.client.close()
        self.loop.set_exception_handler(self._handler)
        if error is None:
            assert not self.errors, self.errors

    async def stop(self, grace: float) -> None:
        """As a worker that is told to end."""
        self.stopped = True
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.gather(self._pumping, return_exceptions=True)
        await self.dispatcher.stop(grace)

    def ring(self, queues: Sequence[str]) -> None:
        """In place of the broker."""
        self.rung.update(queues)
        if not self.deaf and not self.stopped:
            self.loop.call_soon(self.dispatcher.drain, list(queues))

    async def _pump(self) -> None:
        tended = self.loop.time()
        while True:
            # What fails is done again, as in a worker.
            with contextlib.suppress(RelayError, ReplyError):
                await self.pump.turn()
            if self.loop.time() - tended > self.manner.lease / 3:
                tended = self.loop.time()
                await self.dispatcher.tend()
            await asyncio.sleep(_TURN)

    def _on_loop(self, tell: Callable[[Lease], None], lease: Lease) -> None:
        self.loop.call_soon_threadsafe(tell, lease)

    # What a test does and asks.

    async def submit(
        self,
        recipient: str,
        count: int = 1,
        *,
        content: bytes = b"Subject: x\r\n\r\nhi\r\n",
        tenant: str = "",
    ) -> list[str]:
        """Messages to one recipient each; their ids."""
        accepted = [
            self.submitter.submit(
                Submission(
                    id=self.submitter.new_id(),
                    envelope=Envelope("s@s.example", (Recipient(recipient),)),
                    content=(content,),
                    tenant=tenant,
                )
            )
            for _ in range(count)
        ]
        return [done.id for done in await asyncio.gather(*accepted)]

    async def until(
        self, happened: Callable[[], object], what: str = "", patience: float = PATIENCE
    ) -> None:
        """Wait until it happened."""
        deadline = time.monotonic() + patience
        while not happened():
            assert time.monotonic() < deadline, what or self.state()
            await asyncio.sleep(0.01)

    async def until_empty(self, patience: float = PATIENCE) -> None:
        """Wait until nothing is in the queue any more."""
        deadline = time.monotonic() + patience
        left = 1
        while left:
            assert time.monotonic() < deadline, await self.describe()
            # The store may be away, or may not have been back for long.
            with contextlib.suppress(StoreUnavailable):
                left = await self.client.read("HLEN", self.queue.keys.deliveries)
            await asyncio.sleep(0.02)

    def state(self) -> str:
        """How this process stands, for whoever reads why a test failed."""
        desk = self.dispatcher
        paths = {
            f"{name.site} {key}": (
                f"queues {list(path.queues)} supply {len(path.supply)} coming {path.coming} "
                f"allowance {path.allowance} sessions {len(path.staff.sessions)}"
            )
            for (name, key), path in desk._paths.items()
        }
        return f"hand {len(desk.hand)} table {desk.table.jobs} {paths} {self.errors}"

    async def describe(self) -> str:
        """How the store and this process stand."""
        names = ("later", "ready", "leased", "held", "wake")
        scores = {name: await self.queue.scores(getattr(self.queue.keys, name)) for name in names}
        return f"{await self.queue.now()} {scores} {self.state()}"

    async def fates(self, message: str) -> list[str]:
        """What became of a message's recipients: delivered, bounced, expired, cancelled ..."""
        found = []
        for name, value in (await self.queue.record(message)).items():
            if name[0] == "f":
                ended = decode_outcome(name.encode(), value)
                results = ended.attempt.results if ended.attempt is not None else ()
                found += [result.fate for result in results] or [ended.fate]
        return found

    async def until_at_rest(self) -> None:
        """Wait until nothing is left in this process, and it has heard the store too."""
        await self.until(lambda: not self._left(), "left in this process")

    def _left(self) -> list[object]:
        """What is left of jobs, of room taken, and of leases."""
        desk = self.dispatcher
        hand, table = desk.hand, desk.table
        left: list[object] = [len(hand), table.jobs, table.unproven, table._octets, len(desk.book)]
        left += [len(hand.alone), None if self.stopped else hand.alone.job]
        for path in desk._paths.values():
            left += [len(path.supply), path.coming and not self.stopped, bool(path._asked)]
        return [one for one in left if one]

    async def connections(self) -> int:
        """Connections of all paths that the store counts as in use."""
        names = await self.client.read("KEYS", "relay:{s:*:conns")
        return sum([int(await self.client.read("ZCARD", name)) for name in names])


async def _nothing() -> int:
    return 0
