"""The book of leases that this process holds, and until when each is surely its own.

Read by the heartbeat's thread, written by the loop: every step is one operation on a dict.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from relay.store.leasing import Lease

#: Seconds that a lease must have left when a job in it is begun, and when its final dot is written
#: (invariant 3).
_TO_BEGIN = 10.0
_TO_FINISH = 5.0


#: Seconds of a clock that goes on while the machine sleeps, and that nobody can set.
now: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class LeaseBook:
    """Delivery id -> lease and local expiry; the expiry counts from before the store was asked."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        # Leases are renewed when a third is gone, so shorter ones must do with less.
        self._to_begin = min(_TO_BEGIN, lease_s / 2)
        self._to_finish = min(_TO_FINISH, lease_s / 3)
        self._leases: dict[str, Lease] = {}
        self._until: dict[str, float] = {}
        self._settling: set[str] = set()

    def __len__(self) -> int:
        return len(self._leases)

    def enter(self, lease: Lease, asked_at: float) -> None:
        """A lease was granted by a call that was made at `asked_at`."""
        self._until[lease.id] = asked_at + self._lease_s
        self._leases[lease.id] = lease

    def strike(self, lease: Lease) -> None:
        """The lease is over: settled, released or lost."""
        if self.holds(lease):
            del self._leases[lease.id]
            self._until.pop(lease.id, None)
            self._settling.discard(lease.id)

    def settles(self, lease: Lease) -> None:
        """Its outcome is on its way to the store, whose answer will end the lease."""
        if self.holds(lease):
            self._settling.add(lease.id)

    def is_settling(self, lease: Lease) -> bool:
        """Whether an outcome is on its way: a lease that is gone may just have been settled."""
        return lease.id in self._settling

    def holds(self, lease: Lease) -> bool:
        """Whether this very lease is still in the book."""
        held = self._leases.get(lease.id)
        return held is not None and held.fence == lease.fence

    def left(self, lease: Lease) -> float:
        """Seconds for which the lease is surely ours; 0 where it was lost."""
        if not self.holds(lease):
            return 0.0
        return self._until.get(lease.id, 0.0) - now()

    def may_begin(self, lease: Lease) -> bool:
        """Whether there is time enough to begin with it."""
        return self.left(lease) >= self._to_begin

    def may_finish(self, lease: Lease) -> bool:
        """Whether it will surely still be ours when the final dot is in the kernel."""
        return self.left(lease) >= self._to_finish

    def renewed(self, lease: Lease, asked_at: float) -> None:
        """The lease was renewed by a call that was made at `asked_at`."""
        if self.holds(lease):
            self._until[lease.id] = asked_at + self._lease_s

    def leases(self) -> list[Lease]:
        """All leases held now."""
        return list(self._leases.values())
