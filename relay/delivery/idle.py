"""The idle sessions of a process, of all its paths together: so many are kept and no more."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from relay.smtp.session import Session


class IdleSessions:
    """Those that wait for work, the one that waits longest first; `most` are kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._idle: OrderedDict[Session, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._idle)

    def add(self, session: Session) -> None:
        """The session waits now; where there are too many, the one that waits longest ends."""
        self._idle[session] = None
        if len(self._idle) > self._most:
            longest, _ = self._idle.popitem(last=False)
            # Later: this may be the very session that is asking for work.
            self._loop.call_soon(longest.quit)

    def remove(self, session: Session) -> None:
        """The session has work again, or is gone."""
        self._idle.pop(session, None)
