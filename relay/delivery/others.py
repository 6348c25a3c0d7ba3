"""Who else is at a site: a path that has nothing left to send finds out who lacks its sessions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay.mail.outcome import Failure
from relay.store.paths import Left

if TYPE_CHECKING:
    from relay.delivery.path import EgressPath

#: Where a transaction takes so long, in seconds, or others are at the site, a path that has run dry
#: asks who waits for its sessions; where others are, no sooner than so long after it last did.
_SLOW = 0.05
#: While others are at a site, idle sessions ask so often who waits, in seconds; and where nobody is
#: known to be, a path that has run dry does.
_WHO_WAITS = 0.5


class Others:
    """What a path knows of other processes at its site."""

    def __init__(self, path: EgressPath) -> None:
        self._path = path
        self._desk = path.dispatcher
        #: Queues that were refused a connection and wait for one.
        self.waiters = 0
        #: Others have connections to the site, or want some.
        self.present = False
        self._asked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def note(self, waiters: int, in_use: int, own: int) -> None:
        """What the store said: `in_use` connections to the site, `own` of them of this process."""
        self.waiters = waiters
        self.present = bool(waiters) or in_use > own

    def run_dry(self, took: float) -> None:
        """Nothing is left to send, after a transaction of so many seconds: others may lack it."""
        if took >= _SLOW or self.present:
            self._ask()

    def offer(self) -> None:
        """Sessions are idle though mail waits, for there is no room for it in this process."""
        self._desk.leave(self._path, [], None, self._offered)

    def _offered(self, left: Left | None, _failure: Failure | None) -> None:
        if left is not None:
            self.note(left.waiters, left.in_use, self._path.staff.count)
            self._path.staff.make_way()

    def _ask(self) -> None:
        now = self._desk.loop.time()
        pause = _SLOW if self.present else _WHO_WAITS
        if now - self._asked_at < pause:
            self._ask_in(pause)
        else:
            self._asked_at = now
            self._desk.leave(self._path, [], None, self._told)

    def _ask_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._desk.loop.call_later(seconds, self._ask_again)

    def _ask_again(self) -> None:
        self._timer = None
        if self._path.dry and self._path.staff.any_idle and not self._desk.stopping:
            self._ask()

    def _told(self, left: Left | None, _failure: Failure | None) -> None:
        if left is None:
            return
        self.note(left.waiters, left.in_use, self._path.staff.count)
        if self.present:
            self._path.look_again()
            self._ask_in(_WHO_WAITS)
