"""The doorstep of sites: what paths ask of the fleet's limits, many in one round trip.

What is given back is said before what is asked for, so that successes have widened a window when
its path asks for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from msgspec import Struct

from relay import log, metrics
from relay.mail.outcome import Failure, Scope
from relay.policy.shaping import Shaping
from relay.store.keys import reference
from relay.store.leasing import MOST_DELIVERIES
from relay.store.paths import Ask, Grant, Left, Parting, Paths

if TYPE_CHECKING:
    from relay.delivery.path import EgressPath

Granted = Callable[[Ask, Grant | None], None]
Parted = Callable[[Left | None, Failure | None], None]

_log = log.logger("relay.delivery")

#: Failures in these phases say nothing about the site.
_NOT_THE_SITE = ("local", "content", "starttls")


class _Question(Struct):
    ask: Ask
    granted: Granted


class _Farewell(Struct):
    parting: Parting
    failure: Failure | None
    parted: Parted


def is_of_site(failure: Failure | None) -> bool:
    """Whether a failure is to shrink the site's window."""
    return (
        failure is not None
        and failure.scope in (Scope.HOST, Scope.SITE)
        and failure.phase not in _NOT_THE_SITE
    )


class Doorstep:
    """Gathers the questions of a turn of the loop; `ring` gets the queues that may come in."""

    def __init__(
        self,
        paths: Paths,
        shaping: Shaping,
        holder: str,
        ring: Callable[[Sequence[str]], None],
    ) -> None:
        self._paths = paths
        self._shaping = shaping
        self._holder = holder
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._numbers = count(1)
        self._questions: list[_Question] = []
        self._farewells: list[_Farewell] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._due = False

    def enter(
        self, path: EgressPath, held: list[str], fresh: int, deliveries: int, granted: Granted
    ) -> None:
        """Ask for `fresh` connections besides those held, and for deliveries."""
        partition, name = next(iter(path.queues), (0, path.name.site))
        self._report(path)
        limits = self._shaping.limits(path.name.source, path.name.site, name)
        if deliveries and limits.delivery_rate is None:
            # Nothing is drawn from anything, so one question may serve for many deliveries.
            deliveries = MOST_DELIVERIES
        ask = Ask(
            path=path.name,
            queue=reference(partition, name),
            limits=limits,
            held=tuple(held),
            fresh=tuple(f"{self._holder}.{next(self._numbers)}" for _ in range(fresh)),
            deliveries=deliveries,
        )
        self._questions.append(_Question(ask, granted))
        self._soon()

    def leave(
        self, path: EgressPath, tokens: list[str], failure: Failure | None, parted: Parted
    ) -> None:
        """Give connections back, and tell how the site behaved since the last time."""
        bad = is_of_site(failure)
        limits = self._shaping.limits(path.name.source, path.name.site)
        successes, prompt = path.staff.take_successes()
        parting = Parting(
            path=path.name,
            limits=limits,
            tokens=tuple(tokens),
            successes=successes,
            prompt=prompt,
            failures=int(bad),
            reply=str(failure.reply)[:200] if failure is not None and bad else "",
            unused=path.give_allowance_back() if limits.delivery_rate is not None else 0,
        )
        self._farewells.append(_Farewell(parting, failure, parted))
        self._soon()

    async def drained(self) -> None:
        """Wait until all that was said is answered."""
        while self._due or self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)

    def _report(self, path: EgressPath) -> None:
        if path.staff.successes:
            self.leave(path, [], None, _unheard)

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._go)

    def _go(self) -> None:
        self._due = False
        farewells, self._farewells = self._farewells, []
        questions, self._questions = self._questions, []
        for work in (self._part(farewells), self._ask(questions)):
            task = self._loop.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _part(self, farewells: Sequence[_Farewell]) -> None:
        if not farewells:
            return
        answers: Sequence[Left | None]
        try:
            answers = await self._paths.leave([one.parting for one in farewells])
        except Exception as error:  # noqa: BLE001 - whoever asked waits for the answer
            # What was held expires by itself.
            _log.warning("connections not given back", error=str(error))
            answers = [None] * len(farewells)
        for one, left in zip(farewells, answers, strict=True):
            self._tell(one.parted, left, one.failure)
            if left is not None and left.queues:
                self._ring(left.queues)

    async def _ask(self, questions: Sequence[_Question]) -> None:
        if not questions:
            return
        answers: Sequence[Grant | None]
        try:
            answers = await self._paths.enter([one.ask for one in questions])
        except Exception as error:  # noqa: BLE001 - whoever asked waits for the answer
            _log.warning("no connections granted", error=str(error))
            answers = [None] * len(questions)
        for one, grant in zip(questions, answers, strict=True):
            count_refusal(one.ask, grant)
            self._tell(one.granted, one.ask, grant)

    def _tell(self, what: Callable[..., None], *answer: object) -> None:
        """Give one its answer, whatever it makes of it."""
        try:
            what(*answer)
        except Exception as error:  # noqa: BLE001 - a bug; the others must not wait for ever
            context = {"message": "taking an answer of the limits failed", "exception": error}
            self._loop.call_exception_handler(context)


def count_refusal(ask: Ask, grant: Grant | None) -> None:
    """Count the connections that were asked for and not granted; None: the store did not answer."""
    refused = len(ask.fresh) - (len(grant.fresh) if grant is not None else 0)
    if refused:
        metrics.SITES.of(ask.path.site).refused[_reason(ask, grant)] += refused


def _reason(ask: Ask, grant: Grant | None) -> str:
    if grant is None:
        return "store"
    if grant.state != "open":
        return "breaker"
    room = min(grant.window, ask.limits.connections) - grant.in_use
    return "rate" if room > 0 else "window"


def _unheard(_left: Left | None, _failure: Failure | None) -> None:
    """Nobody waits for the answer to a report."""
