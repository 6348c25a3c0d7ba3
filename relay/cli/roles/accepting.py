"""What the roles that accept messages have in common: the store, the doorbell, the submitter."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec import Struct

from relay import tracing
from relay.config import Settings
from relay.store.access import Access
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import ClientOptions, StoreClient
from relay.store.control import Control
from relay.store.doorbell import Doorbell
from relay.store.fullness import Fullness
from relay.store.index import index_of
from relay.store.schema import note_index
from relay.store.servers import servers_of, single
from relay.submission import Submitter

#: Connections over which messages go into the store.
_CONNECTIONS = 8


class Accepting(Struct, frozen=True):
    """One for each process."""

    client: StoreClient
    doorbell: Doorbell
    full: Fullness
    submitter: Submitter

    def reasons(self, stop: asyncio.Event) -> list[str]:
        """Why messages are not accepted just now."""
        reasons = [self.full.reason] if self.full.reason else []
        if not self.client.connected:
            reasons.append("the store cannot be reached")
        if stop.is_set():
            reasons.append("it is being stopped")
        return reasons


@contextlib.asynccontextmanager
async def accepting(settings: Settings) -> AsyncIterator[Accepting]:
    """Open what is needed. Raises StoreUnavailable, ConfigError."""
    store = settings.store
    async with contextlib.AsyncExitStack() as stack:
        if settings.tracing.enabled:
            tracing.start("reception", settings.tracing.endpoint, settings.tracing.ratio)
            stack.callback(tracing.close)
        access = Access(
            servers_of(store.url),
            store.durability,
            ClientOptions(patience=store.timeout),
            connections=_CONNECTIONS,
        )
        stack.push_async_callback(access.close)
        await access.open(store.partitions, store.replicas)
        client = access.client
        await note_index(client, store.index)
        doorbell = Doorbell(single(settings.broker.url))
        stack.push_async_callback(doorbell.close)
        full = Fullness(
            client,
            memory_high=store.memory_high,
            disk_low=store.disk_low,
            disk=Path(settings.data) / "store",
            tenant_share=store.tenant_share,
            partitions=store.partitions,
        )
        watch = asyncio.create_task(full.watch())
        stack.callback(watch.cancel)
        options = AdmissionOptions(
            idempotency_ms=round(store.idempotency * 1000),
            deadline_ms=round(settings.lease.deadline * 1000),
            index=index_of(store.index),
        )
        submitter = Submitter(
            Admission(access.accepting, store.partitions, options, full.share),
            store.partitions,
            doorbell.ring,
            full,
            Control(client, store.partitions).withdraw,
        )
        yield Accepting(client, doorbell, full, submitter)
