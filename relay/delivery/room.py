"""Room in the attempt table: paths that found none go on as soon as there is some; meanwhile their
mail and the connections that lie idle here are offered to other processes, which may have room.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay.delivery.table import AttemptTable, Standing

if TYPE_CHECKING:
    from relay.delivery.path import EgressPath

#: Seconds until mail that waits for room is offered to others, and until it is again: surely longer
#: than a queue that was rung is not rung again (relay.delivery.calling).
_OFFER = 0.3
#: Paths that are offered at a time, those that wait longest: as many as one wake-up may name.
_MOST = 100


class Room:
    """Says `advance` to paths when there is room for them, and `offer` while there is none."""

    def __init__(self, table: AttemptTable) -> None:
        self._table = table
        self._loop = asyncio.get_running_loop()
        self._letting_in = False
        self._offering: asyncio.TimerHandle | None = None

    def wait(self, path: EgressPath, standing: Standing) -> None:
        """The path found no room."""
        self._table.wait(path, standing)
        if self._offering is None:
            self._offering = self._loop.call_later(_OFFER, self._offer)

    def freed(self) -> None:
        """There is more room than there was."""
        if self._table.waiting and not self._letting_in:
            self._letting_in = True
            self._loop.call_soon(self._let_in)

    def close(self) -> None:
        """Offer nothing more."""
        if self._offering is not None:
            self._offering.cancel()

    def _let_in(self) -> None:
        self._letting_in = False
        self._table.let_in()

    def _offer(self) -> None:
        self._offering = None
        if not self._table.waiting:
            return
        for path in self._table.longest_waiting(_MOST):
            path.offer()
        self._offering = self._loop.call_later(_OFFER, self._offer)
