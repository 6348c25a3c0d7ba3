"""The heartbeat: a thread, with a loop and a connection of its own, that renews leases.

Nothing that keeps the main loop busy can so cost them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from itertools import groupby

from relay import log, metrics
from relay.delivery.book import LeaseBook, now
from relay.store.client import ClientOptions, StoreClient
from relay.store.cluster import client_of
from relay.store.keys import partition_keys
from relay.store.leasing import Lease, retake
from relay.store.script import Text, script
from relay.store.servers import Servers

EXTEND = script("extend")
#: Leases in one call at most.
_MOST = 50
_log = log.logger("relay.delivery")


class Heartbeat:
    """Renews every third of a lease.

    Called in the heartbeat's thread: `lost` for each lease that is another's now, `flagged` each
    time for one whose delivery is to be cancelled or held.
    """

    def __init__(
        self,
        book: LeaseBook,
        *,
        servers: Servers,
        partitions: int,
        holder: str,
        lease_ms: int,
        lost: Callable[[Lease], None],
        flagged: Callable[[Lease], None],
    ) -> None:
        self._book = book
        self._servers = servers
        self._partitions = partitions
        self._holder = holder
        self._lease_ms = lease_ms
        self._lost = lost
        self._flagged = flagged
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; waits for a beat that is under way, a second at most."""
        self._ended.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        asyncio.run(self._beat())

    async def _beat(self) -> None:
        pause = self._lease_ms / 3000
        patience = ClientOptions(patience=pause if self._partitions == 1 else pause / 2)
        client = client_of(self._servers, patience)
        while not await asyncio.to_thread(self._ended.wait, pause):
            try:
                await self._renew(client)
            except Exception as error:  # noqa: BLE001 - without it all leases would be lost
                _log.warning("leases not renewed", error=str(error), leases=len(self._book))
        await client.close()

    async def _renew(self, client: StoreClient) -> None:
        leases = sorted(self._book.leases(), key=lambda lease: lease.partition)
        groups = groupby(leases, key=lambda lease: lease.partition)
        # One partition whose node is away must not cost the leases of the others.
        work = [self._renew_in(client, partition, list(group)) for partition, group in groups]
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _renew_in(self, client: StoreClient, partition: int, leases: Sequence[Lease]) -> None:
        for at in range(0, len(leases), _MOST):
            await self._extend(client, partition, leases[at : at + _MOST])

    async def _extend(self, client: StoreClient, partition: int, leases: Sequence[Lease]) -> None:
        keys = partition_keys(partition, self._partitions)
        args: list[Text] = [self._holder, self._lease_ms]
        for lease in leases:
            args += (lease.id, lease.fence)
        asked_at = now()
        names = [keys.deliveries, keys.leased, keys.seen]
        _, *words = await client.call(EXTEND, names, args)
        kept = len(leases) - words.count(b"lost")
        metrics.EXTENDED.inc(kept)
        lost = []
        for lease, word in zip(leases, words, strict=True):
            if word == b"lost":
                # It may have been settled while this call was on its way.
                if self._book.holds(lease):
                    lost.append(lease)
                continue
            self._book.renewed(lease, asked_at)
            if word != b"kept":
                self._flagged(lease)
        if lost:
            await self._retake(client, partition, lost)

    async def _retake(self, client: StoreClient, partition: int, leases: Sequence[Lease]) -> None:
        """Keep what it was the store that lost; the rest is another's."""
        asked_at = now()
        asked = retake(client, self._partitions, self._holder, self._lease_ms, partition, leases)
        for lease, word in zip(leases, await asked, strict=True):
            if word in (b"retaken", b"kept"):
                self._book.renewed(lease, asked_at)
            elif self._book.holds(lease):
                metrics.POSSIBLE_DOUBLES.inc(word == b"doubled")
                self._lost(lease)
