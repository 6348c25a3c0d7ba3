"""Widening: when a path that was refused connections, its window being used up, asks for more."""

from __future__ import annotations

#: How long a path waits before it asks for more than it was granted, in seconds: at first, and at
#: most, for it doubles each time until as many transactions were answered as a window holds.
_REST = 0.05
_LONGEST_REST = 2.0


class Widening:
    """Successes widen a window: by one as many as it holds, and at a site that never failed each
    prompt one (decision 29); or others give connections back, which nobody tells."""

    def __init__(self) -> None:
        self._rest = _REST
        self._refused_at = self._again_at = 0.0
        #: Transactions that were answered since more connections were refused.
        self._answered = 0

    def refused(self, now: float, *, others: bool) -> None:
        """Fewer connections than asked for were granted; `others` have some of the site's."""
        self._answered = 0
        self._refused_at = now
        self._again_at = now + (self._rest if others else _LONGEST_REST)
        self._rest = min(self._rest * 2, _LONGEST_REST)

    def answered(self, now: float, sessions: int, *, prompt: bool) -> float | None:
        """A transaction was answered, one of so many sessions': in how many seconds to ask again,
        None where that has not changed."""
        self._answered += 1
        whole = self._answered >= sessions
        if self._again_at <= now or not (whole or prompt):
            return None
        if whole:
            self._rest = _REST
        self._again_at = min(self._again_at, self._refused_at + self._rest)
        return max(self._again_at - now, 0.0)

    def left(self, now: float) -> float:
        """Seconds until to ask again, 0 or less: now."""
        return self._again_at - now
