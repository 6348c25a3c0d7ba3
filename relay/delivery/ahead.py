"""How far a path leases ahead of its sessions: enough to keep them busy, and no more.

What is leased waits here, in its own order, while the store says whose turn it is only of what it
still has (decision 27).
"""

from __future__ import annotations

#: Jobs at hand for a path: at first, and at most.
_FIRST, _MOST = 4, 100
#: Who waits so long at hand, in seconds, waits for a session; then less is leased ahead, so that it
#: is the store that says whose turn it is: for every fourth session one.
WAIT = 0.05
_SESSIONS_A_JOB = 4
#: Of a site that takes longer for each, no more is leased ahead than its sessions take in so many
#: seconds, some round trips to the store.
_REACH = 0.025
#: Where it is so long, next to nothing is.
_LONG_WAIT = 1.0
#: A job that is at hand so long, in seconds, or will be, while all sessions are busy, gets a
#: further one.
PATIENCE = 0.02
#: How much of the mean time of a transaction is that of the last one.
_WEIGHT = 0.25


class Ahead:
    """A path's jobs: how many are wanted at hand, and how many of those wait for too long."""

    def __init__(self) -> None:
        #: How many are wanted at hand.
        self.jobs = _FIRST
        #: Mean seconds of the last transactions, 0 before there was any.
        self._took = 0.0

    def answered(self, took: float) -> None:
        """A transaction took so many seconds."""
        self._took += (took - self._took) * _WEIGHT if self._took else took

    def starved(self, sessions: int) -> bool:
        """A session found nothing at hand though the store has more: more is wanted from now on.
        Whether that is as much as ever already, so that others may help."""
        full = self.jobs >= _MOST
        self.jobs = min(self.jobs * 2, self._most(sessions))
        return full

    def waited(self, seconds: float, sessions: int) -> None:
        """A job was at hand for longer than `WAIT` before one of the sessions had it."""
        if seconds > _LONG_WAIT:
            self.jobs = max(self.jobs // 2, 1)
        else:
            self.jobs = min(self.jobs, max(self.jobs // 2, self._least(sessions)))

    def overdue(self, at_hand: int, sessions: int) -> int:
        """How many of those at hand are to wait longer than `PATIENCE` for one of the sessions."""
        if self._took <= PATIENCE:
            return 0
        return max(at_hand - int(sessions * PATIENCE / self._took), 0)

    def _most(self, sessions: int) -> int:
        if self._took <= PATIENCE:
            return _MOST
        return min(max(int(sessions * _REACH / self._took), self._least(sessions)), _MOST)

    def _least(self, sessions: int) -> int:
        return max(sessions // _SESSIONS_A_JOB, _FIRST)
