"""Answers that are held back until enough replicas have what was written (`replicated`).

One WAIT covers all that was said before it on its connection. It goes out with the first call; what
is said while it is on its way goes into the next: many messages share one round trip to the
replicas, as they share one sync of the append-only file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from relay import metrics
from relay.errors import NotReplicated
from relay.store.calls import NOTHING, Held
from relay.store.wire import ConnectionLost, Wire

#: How long one WAIT may take, in ms. Where that is too short another follows, so that a call's
#: patience is kept to about this much.
_WAIT_MS = 1000


class Confirmation:
    """The calls of one connection that wait for replicas.

    `finish` gets each whose answer may be given, or is NotReplicated; `unheard` those that have to
    be said again, as the connection was lost.
    """

    def __init__(
        self,
        wire: Wire,
        replicas: int,
        finish: Callable[[Held], None],
        unheard: Callable[[Wire, Sequence[Held], Exception], None],
    ) -> None:
        self._wire = wire
        self._replicas = replicas
        self._finish = finish
        self._unheard = unheard
        self._loop = asyncio.get_running_loop()
        self._said: list[Held] = []
        self._asking = False

    def said(self, call: Held) -> None:
        """The call is on its way."""
        self._said.append(call)
        if not self._asking:
            self._asking = True
            self._wire.at_the_end(self._ask)

    def _ask(self) -> None:
        covered, self._said = self._said, []
        started = self._loop.time()

        def answered(answer: Any) -> None:
            self._answered(covered, started, answer)

        self._wire.send(answered, "WAIT", self._replicas, _WAIT_MS)

    def _answered(self, covered: list[Held], started: float, answer: Any) -> None:
        if not isinstance(answer, int):
            held = [call for call in (*covered, *self._said) if call.answer is not NOTHING]
            self._said = []
            error = answer if isinstance(answer, ConnectionLost) else ConnectionLost(str(answer))
            self._unheard(self._wire, held, error)
            return
        # What has no answer was refused, or said again and is covered by a later WAIT.
        waiting = [call for call in covered if call.answer is not NOTHING]
        if answer >= self._replicas:
            metrics.REPLICATION_SECONDS.observe(self._loop.time() - started)
        else:
            waiting = self._in_time(waiting, answer)
            self._said[:0] = waiting
            waiting = []
        for call in waiting:
            if not call.future.done():
                self._finish(call)
        self._asking = bool(self._said)
        if self._said:
            self._ask()

    def _in_time(self, calls: list[Held], replicas: int) -> list[Held]:
        """Those that can wait on; the others fail."""
        metrics.REPLICATION_SHORT.inc()
        now = self._loop.time()
        for call in calls:
            if call.deadline <= now and not call.future.done():
                call.answer = NotReplicated(
                    f"{replicas} of the {self._replicas} replicas that must have it do"
                )
                self._finish(call)
        return [call for call in calls if not call.future.done()]
