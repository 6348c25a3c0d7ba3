"""The engine of a worker: everything that delivers, put together from the settings."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from relay import log, metrics, tracing
from relay.config import Settings, load_settings
from relay.config.values import split_endpoint
from relay.console import routing
from relay.delivery.dispatcher import Dispatcher
from relay.delivery.heartbeat import Heartbeat
from relay.errors import RelayError
from relay.feedback.projector import CONSUMER, Projector, ProjectorOptions
from relay.ingress.health import HealthServer
from relay.lookup.resolver import Resolver
from relay.mail.compose import Limits
from relay.policy.shaping import Shaping
from relay.store.access import Access
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import ClientOptions
from relay.store.control import Control
from relay.store.doorbell import Doorbell
from relay.store.forgetting import Forgetting
from relay.store.fullness import Fullness
from relay.store.index import index_of
from relay.store.leasing import Lease, Leasing
from relay.store.outbox import Outbox
from relay.store.paths import Paths
from relay.store.roster import Roster
from relay.store.schema import note_index
from relay.store.servers import servers_of, single
from relay.store.spool import Spool
from relay.store.sts_shelf import StsShelf
from relay.store.timing import Timing
from relay.submission import Submitter
from relay.upkeep import Pump, Retains, Retention
from workers import options
from workers.contract import Progress, Stop, WorkerInfo
from workers.fields import submission_of

_log = log.logger("relay.worker")
#: Seconds between two looks at the store's memory.
_MEMORY = 5.0
#: Seconds between two signs that the loop turns, for the watchdog.
_TICK = 1.0
#: Seconds between two rounds of forgetting what is no longer needed.
_TIDY = 10.0
#: Seconds between two reports of what this worker had to do with.
_REPORT = 10.0


def create() -> Engine:
    """The engine that a worker runs (the Celery setting `relay_engine`)."""
    return Engine(load_settings())


class Engine:
    """See `workers.contract.Engine`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._holder = secrets.token_hex(5)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._ticks = 0
        self._access = Access(
            servers_of(settings.store.url),
            settings.store.durability,
            ClientOptions(patience=settings.store.timeout),
        )
        self._client = self._access.client
        self._doorbell = Doorbell(single(settings.broker.url))
        partitions = settings.store.partitions
        self._full = Fullness(
            self._client,
            memory_high=settings.store.memory_high,
            disk_low=settings.store.disk_low,
            disk=Path(settings.data) / "store",
            tenant_share=settings.store.tenant_share,
            partitions=settings.store.partitions,
        )
        self._leasing = Leasing(
            self._client, partitions, self._holder, options.lease_options(settings)
        )
        self._timing = Timing(self._client, partitions, options.timing_options(settings))
        self._control = Control(
            self._client, partitions, options.control_options(settings), self._doorbell.ring
        )
        self._submitter = Submitter(
            Admission(
                self._access.accepting,
                partitions,
                AdmissionOptions(
                    idempotency_ms=round(settings.store.idempotency * 1000),
                    deadline_ms=round(settings.lease.deadline * 1000),
                    index=index_of(settings.store.index),
                ),
                self._full.share,
            ),
            partitions,
            self._doorbell.ring,
            self._full,
            withdraw=self._control.withdraw,
        )
        self._limits = Limits(
            recipients=settings.smtp.limits.recipients, size=settings.smtp.limits.message_size
        )
        self._outboxes = [Outbox(self._client, number, partitions) for number in range(partitions)]
        self._forgetting = Forgetting(self._client, partitions, _TIDY)
        self._dispatcher: Dispatcher | None = None
        self._heartbeat: Heartbeat | None = None
        self._pump: Pump | None = None
        self._health: HealthServer | None = None

    async def start(self, worker: WorkerInfo) -> None:
        """Open what is needed. Raises StoreUnavailable, ConfigError."""
        settings = self._settings
        if settings.tracing.enabled:
            tracing.start("worker", settings.tracing.endpoint, settings.tracing.ratio)
        if settings.delivery.security.dane:
            import_module("relay.smtp.dane")
        await self._access.open(settings.store.partitions, settings.store.replicas)
        await note_index(self._client, settings.store.index)
        router = routing.router(
            settings, Resolver(routing.resolver_options(settings)), StsShelf(self._client)
        )
        self._dispatcher = dispatcher = Dispatcher(
            options.dispatch_options(settings, self._holder),
            leasing=self._leasing,
            spool=Spool(self._client, settings.store.partitions),
            paths=Paths(self._client, self._holder, options.path_options(settings)),
            shaping=Shaping(routing.limits(settings)),
            router=router,
            connecting=options.connect_options(settings, router.may_connect),
            ring=self._doorbell.ring,
        )
        if not isinstance(servers_of(settings.store.url), Address):
            # A replica that becomes primary has what the last one took, but for a moment of it.
            dispatcher.conclusions.settler.remember()
            self._client.on_change = dispatcher.conclusions.settler.offer_again
        self._heartbeat = Heartbeat(
            dispatcher.book,
            servers=servers_of(settings.store.url),
            partitions=settings.store.partitions,
            holder=self._holder,
            lease_ms=round(settings.lease.seconds * 1000),
            lost=partial(_on_loop, self._loop, dispatcher.lost),
            flagged=partial(_on_loop, self._loop, dispatcher.flagged),
        )
        self._heartbeat.start()
        self._pump = Pump(
            self._timing,
            settings.store.partitions,
            ring=self._doorbell.ring,
            depth=self._doorbell.depth,
            slots=lambda: worker.concurrency,
        )
        holders: list[Retains] = [self._leasing, self._timing, *self._outboxes]
        retention = Retention(self._client, holders)
        self._every(settings.lease.seconds / 3, dispatcher.tend)
        self._every(_MEMORY, retention.look)
        self._tasks.append(self._loop.create_task(self._full.watch()))
        await self._listen()
        self._every(_TICK, self._tick)
        roster = Roster(self._client, self._holder)
        await self._report(roster)
        self._every(_REPORT, partial(self._report, roster))
        self._every(_TIDY, self._tidy)
        self._project()
        _log.info("worker started", holder=self._holder, hostname=worker.hostname)

    async def drain(self, queues: Sequence[str]) -> None:
        """Take these queues on."""
        self._running.drain(queues)

    async def submit(self, fields: Mapping[str, Any]) -> str:
        """Accept a message given as JSON fields."""
        accepted = await self._submitter.submit(
            submission_of(fields, self._submitter, self._limits)
        )
        return accepted.id

    def attempts(self) -> list[dict[str, Any]]:
        """The attempts that run now."""
        return self._running.hand.shown()

    async def hold(self, *, queue: str, tenant: str, on: bool) -> None:
        """Hold or release a queue or a tenant."""
        control = self._control
        if not queue and not tenant:
            raise ValueError("name a queue (a domain) or a tenant")
        if queue:
            await (control.hold_queue(queue) if on else control.unhold_queue(queue))
        if tenant:
            await (control.hold_tenant(tenant) if on else control.unhold_tenant(tenant))

    async def pump(self) -> None:
        """One round of upkeep."""
        if self._pump is not None:
            await self._pump.turn()

    def progress(self) -> Progress:
        """A loop that runs makes progress: it ticks, whatever the world outside does."""
        concluded = self._dispatcher.conclusions.count if self._dispatcher else 0
        return Progress(done=self._ticks + concluded, waiting=1)

    async def stop(self, mode: Stop, grace: float) -> None:
        """Hand everything back."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._dispatcher is not None:
            await self._dispatcher.stop(grace * 0.9 if mode is not Stop.COLD else 0.0)
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._health is not None:
            await self._health.close()
        await self._doorbell.close()
        await self._access.close()
        await asyncio.to_thread(tracing.close)
        _log.info("worker stopped", mode=mode.value)

    @property
    def _running(self) -> Dispatcher:
        if self._dispatcher is None:
            raise RuntimeError("the engine has not started")
        return self._dispatcher

    async def _listen(self) -> None:
        """Serve metrics and health. Raises ConfigError where the port is taken."""
        if not self._settings.metrics.enabled:
            return
        self._health = HealthServer("worker", ready=self._not_ready)
        host, port = split_endpoint(self._settings.metrics.listen)
        await self._health.start(host, port, setting="metrics.listen")

    def _not_ready(self) -> list[str]:
        return [] if self._client.connected else ["the store cannot be reached"]

    def _project(self) -> None:
        """Write the DSNs that outcomes call for, in each partition.

        Where none are sent it still closes the events, for content is kept until that is done.
        """
        dsns = options.dsn_options(self._settings)
        # Who has the role is dead when its leases are.
        projecting = ProjectorOptions(role_ms=round(self._settings.lease.seconds * 1000))
        projectors = [
            Projector(outbox, self._submitter, self._holder, dsns, projecting)
            for outbox in self._outboxes
        ]
        metrics.PROJECTOR_LAG[CONSUMER].set_function(lambda: max(one.lag for one in projectors))
        for projector in projectors:
            self._tasks.append(self._loop.create_task(projector.run(self._stopping)))

    async def _tidy(self) -> None:
        """Forget events that were applied, and finish what others began."""
        await asyncio.gather(*(outbox.trim([CONSUMER]) for outbox in self._outboxes))
        await self._control.go_on()
        await self._forgetting.turn()

    async def _report(self, roster: Roster) -> None:
        """Tell the fleet, and show by name what carries most in all of it."""
        sites, tenants = metrics.SITES, metrics.TENANTS
        await roster.report(sites.take_seen(), tenants.take_seen())
        foremost = await roster.foremost(self._settings.metrics.names)
        sites.show(foremost.sites)
        tenants.show(foremost.tenants)

    async def _tick(self) -> None:
        self._ticks += 1

    def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again; a store that is away is no reason to end it."""

        async def repeat() -> None:
            while True:
                await asyncio.sleep(seconds)
                try:
                    await work()
                except RelayError as error:
                    _log.warning("not done; it is tried again", error=str(error))
                except Exception as error:  # noqa: BLE001 - it must be done again all the same
                    context = {"message": "what is done again and again failed", "exception": error}
                    self._loop.call_exception_handler(context)

        self._tasks.append(self._loop.create_task(repeat()))


def _on_loop(loop: asyncio.AbstractEventLoop, tell: Callable[[Lease], None], lease: Lease) -> None:
    """From the heartbeat's thread."""
    loop.call_soon_threadsafe(tell, lease)
