"""Queues without a route: bounced where the domain takes no mail for good, else parked."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from relay import log
from relay.delivery.path import Queue
from relay.delivery.supply import Leaser, Want
from relay.delivery.unroutable import RouteFailure
from relay.mail.reply import Reply
from relay.policy.shaping import Shaping
from relay.store.codec import Flag
from relay.store.keys import reference
from relay.store.leasing import MOST_DELIVERIES, Grant, Lease
from relay.store.paths import Ask, Parting, Path, Paths

if TYPE_CHECKING:
    from relay.delivery.dispatcher import Dispatcher

#: The shortest rest, in ms, where the store could not say.
_SHORTEST_REST = 5000
_log = log.logger("relay.delivery")


class Nowhere:
    """Takes on queues that no path can have."""

    def __init__(
        self, dispatcher: Dispatcher, leaser: Leaser, paths: Paths, shaping: Shaping
    ) -> None:
        self._desk = dispatcher
        self._leaser = leaser
        self._paths = paths
        self._shaping = shaping

    def take(self, queue: Queue, failure: RouteFailure) -> None:
        """A queue was rung whose domain has no route."""
        if failure.permanent:
            self._bounce(queue, failure.reply)
        else:
            self._desk.do(self._rest(queue, failure.reply))

    def unsafe(self, leases: Sequence[Lease], queues: Sequence[Queue], why: RouteFailure) -> None:
        """No host is safe enough for these queues; nothing of them is in hand."""
        _log.info("no host is safe enough", first=queues[0][1], reason=str(why.reply))
        self._desk.do(self._give_up(leases, queues, why))

    async def _give_up(
        self, leases: Sequence[Lease], queues: Sequence[Queue], why: RouteFailure
    ) -> None:
        await self._desk.release(leases)
        for queue in queues:
            self.take(queue, why)

    def _bounce(self, queue: Queue, reply: Reply) -> None:
        def granted(grant: Grant | None) -> None:
            for lease in grant.leases if grant is not None else ():
                if Flag.CANCEL in lease.flags or Flag.HOLD in lease.flags:
                    self._desk.conclusions.flagged(lease)
                else:
                    self._desk.conclusions.unroutable(lease, reply)
            if grant is not None and grant.more and not self._desk.stopping:
                self._bounce(queue, reply)

        self._leaser.ask(Want(*queue, MOST_DELIVERIES, granted))

    async def _rest(self, queue: Queue, reply: Reply) -> None:
        """No message is attempted (invariant 7): the domain rests, as a dead site does."""
        domain = queue[1]
        path = Path("", f"?{domain}")
        # One failed look-up is enough to let a domain rest; it rests longer each time.
        usual = self._shaping.limits(path.source, path.site, domain)
        limits = structs.replace(
            usual, connections=1, initial=1, delivery_rate=None, connection_rate=None
        )
        # A failure counts again only from the connection that tries the site.
        ask = Ask(path, reference(*queue), limits, fresh=(secrets.token_hex(8),), deliveries=1)
        [grant] = await self._paths.enter([ask])
        again_ms = grant.again_ms
        if grant.fresh:
            parting = Parting(path, limits, grant.fresh, failures=1, reply=str(reply)[:200])
            [left] = await self._paths.leave([parting])
            again_ms = left.again_ms
        self._desk.park([], [queue], max(again_ms, _SHORTEST_REST), str(reply))
