"""Intake: queues that were rung, each with the route of its domain."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from relay import log
from relay.delivery.path import Queue
from relay.delivery.route import Route, Router
from relay.delivery.unroutable import RouteFailure
from relay.store.keys import parse_reference

_log = log.logger("relay.delivery")

Routed = Callable[[Queue, Route | RouteFailure], None]


class Intake:
    """Finds routes, each once for all queues that wait for it; `do` runs what has to be awaited."""

    def __init__(
        self, router: Router, routed: Routed, do: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._router = router
        self._routed = routed
        self._do = do
        self._waiting: dict[str, list[Queue]] = {}

    def take(self, queues: Sequence[str]) -> None:
        """Have `routed` called for each queue ("<partition>/<name>")."""
        for text in queues:
            try:
                queue = parse_reference(text)
            except ValueError as error:
                _log.warning("not a queue", error=str(error))
                continue
            self._take(queue)

    def _take(self, queue: Queue) -> None:
        domain = queue[1]
        found = self._router.cached(domain)
        if found is not None:
            self._routed(queue, found)
        elif domain in self._waiting:
            self._waiting[domain].append(queue)
        else:
            self._waiting[domain] = [queue]
            self._do(self._find(domain))

    async def _find(self, domain: str) -> None:
        try:
            found = await self._router.route(domain)
        finally:
            queues = self._waiting.pop(domain)
        for queue in queues:
            self._routed(queue, found)
