"""Pace: how often each client may do something, in a table that does not grow beyond its bound."""

from __future__ import annotations

from collections import OrderedDict

#: Seconds that a limit is given for: a client that was quiet may do all of it at once.
_SPAN = 60.0
#: Clients that are remembered; those that did nothing for longest are forgotten first.
_CLIENTS = 10_000


class Pace:
    """So many a minute for each client (GCRA); 0: no limit. Times are of one clock, in seconds."""

    __slots__ = ("_clients", "_every", "_until")

    def __init__(self, per_minute: int, clients: int = _CLIENTS) -> None:
        self._every = _SPAN / per_minute if per_minute else 0.0
        self._clients = clients
        #: Client -> when it will have all of its allowance back.
        self._until: OrderedDict[str, float] = OrderedDict()

    def over(self, client: str, now: float) -> bool:
        """Whether one more would be too many."""
        return self._until.get(client, 0.0) + self._every - now > _SPAN

    def note(self, client: str, now: float) -> None:
        """One was done. Who does more than it may is over for a minute from now, never longer."""
        if not self._every:
            return
        until = max(self._until.get(client, 0.0), now) + self._every
        self._until[client] = min(until, now + _SPAN)
        self._until.move_to_end(client)
        if len(self._until) > self._clients:
            self._until.popitem(last=False)

    def __len__(self) -> int:
        return len(self._until)
