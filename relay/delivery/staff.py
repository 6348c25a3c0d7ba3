"""The sessions of one egress path, and the connections that were granted for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay import metrics
from relay.delivery.ahead import PATIENCE
from relay.delivery.others import Others
from relay.delivery.unroutable import of_all
from relay.delivery.widening import Widening
from relay.mail.outcome import Failure, Scope
from relay.mail.reply import Reply
from relay.policy.shaping import PROMPT
from relay.smtp.session import Session
from relay.store.paths import Ask, Grant, Left

if TYPE_CHECKING:
    from relay.delivery.path import EgressPath

#: How long a host that could not be reached is tried last, in seconds.
_BAD_HOST = 60.0
#: The shortest time for which a site without any session is left alone, in ms.
_SHORTEST_REST = 1000
#: How long queues rest, in ms, while other processes have all connections of a site that is well:
#: at first, doubled at each refusal, and at most. Whoever has them may keep them idle for seconds.
_FIRST_WAIT = 200
_LONGEST_WAIT = 1000
_NO_HOST = Failure(Reply(451, "4.4.1", "no host to try"), Scope.SITE, "connect")


class Staff:
    """Opens sessions as they are needed and granted, and gives connections back."""

    def __init__(self, path: EgressPath) -> None:
        self._path = path
        self._desk = path.dispatcher
        self.sessions: dict[Session, str] = {}
        self._opening: dict[asyncio.Task[Failure | None], str] = {}
        #: Connections that were granted and are not used yet.
        self._spare: list[str] = []
        self._asking = False
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._bad: dict[str, float] = {}
        #: Transactions since the last report that the site answered.
        self.successes = 0
        #: Those of them that it answered promptly.
        self._prompt = 0
        #: The connection that tries whether the site is back, and may carry one delivery.
        self._probe = ""
        self.others = Others(path)
        self._wait = _FIRST_WAIT
        self._widening = Widening()
        #: Why nothing may begin before `_not_before`.
        self._reason = ""
        #: The same as a label: window or breaker.
        self._refused_by = "breaker"

    @property
    def busy(self) -> bool:
        """There are sessions, or some are to come."""
        return self.has_place or self._asking

    @property
    def has_place(self) -> bool:
        """A connection is granted, used or not."""
        return bool(self.sessions or self._opening or self._spare)

    @property
    def count(self) -> int:
        """Connections that are held, used or not."""
        return len(self._held())

    @property
    def any_idle(self) -> bool:
        """A session waits for work."""
        return any(session.idle for session in self.sessions)

    def feed(self) -> bool:
        """Have idle sessions pull; whether there was one."""
        any_idle = False
        for session in list(self.sessions):
            if session.idle:
                any_idle = True
                session.poke()
                if not self._path.supply.count:
                    break
        return any_idle

    def may_send(self, session: Session) -> bool:
        """Whether the session may have a further transaction; a probe has one."""
        return not self._probe or session.served == 0

    # Opening.

    def fill(self) -> None:
        """Open the first session at once, and more when those there are do not keep up."""
        path = self._path
        at_hand = path.supply.count
        if self._desk.stopping or not (at_hand or path.coming or path.wanting):
            # Others may be waiting for what is not needed here.
            self._give_spare_back()
            return
        if self.has_sessions and not at_hand:
            return
        if self._rests() or not (at_hand or path.coming):
            return
        wanted = self._overdue() if self.has_sessions else 1
        for _ in range(min(wanted - len(self._opening), len(self._spare))):
            self._open(self._spare.pop(0))
        lacking = wanted - len(self._opening)
        if lacking > 0 and not self._probe:
            self._ask_for_more(lacking)

    def _ask_for_more(self, count: int) -> None:
        """Ask for connections; deliveries are drawn from a rate only when some can be begun."""
        left = self._widening.left(self._desk.loop.time())
        if left > 0 and self.has_sessions:
            self._look_in(left)
        else:
            self.ask(fresh=count, deliveries=0 if self._path.allowance > 0 else 1)

    def _rests(self) -> bool:
        """Whether the site is to be left alone for long: then nothing is to wait for it here."""
        if self.busy:
            return False
        left = self._not_before - self._desk.loop.time()
        if left * 1000 <= _SHORTEST_REST:
            return False
        metrics.SITES.of(self._path.name.site).refused[self._refused_by] += 1
        self._path.refused(round(left * 1000), self._reason)
        return True

    @property
    def has_sessions(self) -> bool:
        """There is a session, or one is being opened."""
        return bool(self.sessions or self._opening)

    def _overdue(self) -> int:
        """How many jobs waited too long at hand or will; looks again soon where none did yet."""
        path = self._path
        count = max(
            path.supply.waiting_since(self._desk.loop.time() - PATIENCE),
            path.ahead.overdue(path.supply.count, len(self.sessions)),
        )
        if path.supply.count and not count:
            self._look_in(PATIENCE)
        return count

    def _look_in(self, seconds: float) -> None:
        """See in a while, or sooner, what can be done then."""
        seconds = max(seconds, 0.001)  # uvloop's handle for "at once" knows no time
        due = self._desk.loop.time() + seconds
        if self._timer is not None and self._timer.when() > due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._desk.loop.call_later(seconds, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self._path.advance()

    def _open(self, token: str) -> None:
        task = self._desk.loop.create_task(self._connect(token))
        self._opening[task] = token
        task.add_done_callback(self._connected)

    async def _connect(self, token: str) -> Failure | None:
        found = await self._first_that_answers()
        if isinstance(found, Failure):
            return found
        self._bad.pop(found.target.address, None)
        self.sessions[found] = token
        metrics.CONNECTIONS_OPEN.inc()
        found.start(self._path)
        return None

    def _connected(self, task: asyncio.Task[Failure | None]) -> None:
        token = self._opening.pop(task)
        if task.cancelled():
            self._leave([token])
        elif task.exception() is not None:
            self._leave([token])
            self._desk.bug("opening a session failed", task)
        elif (failure := task.result()) is not None:
            # Not before: a question of the same turn would have held what is given back.
            self._leave([token], failure)
        self._path.advance()

    async def _first_that_answers(self) -> Session | Failure:
        """A session with the first host that gives one; those that failed lately come last."""
        found: Session | Failure = _NO_HOST
        failures: list[Failure] = []
        now = self._desk.loop.time()
        order = self._path.route.order()
        for target in sorted(order, key=lambda one: self._bad.get(one.address, 0.0) > now):
            found = await self._desk.connect(target)
            if isinstance(found, Session):
                return found
            failures.append(found)
            self._bad[target.address] = self._desk.loop.time() + _BAD_HOST
        return of_all(failures) if failures else found

    # Grants.

    def ask(self, *, fresh: int = 0, deliveries: int = 1) -> None:
        """Ask for further connections and deliveries; one question at a time."""
        if self._asking or self._desk.stopping:
            return
        left = self._not_before - self._desk.loop.time()
        if left > 0:
            self._look_in(left)
            return
        self._asking = True
        count = fresh if self.has_place else max(fresh, 1)
        self._desk.enter(self._path, self._held(), count, deliveries, self._granted)

    def _held(self) -> list[str]:
        # A session that was just opened may still be among those being opened.
        every = (*self.sessions.values(), *self._opening.values(), *self._spare)
        return list(dict.fromkeys(every))

    def _granted(self, ask: Ask, grant: Grant | None) -> None:
        """The answer; None where the store gave none."""
        self._asking = False
        if grant is None:
            self._rest(_SHORTEST_REST, "the store does not answer")
            return
        self._note(grant, ask)
        self._spare += grant.fresh
        self._path.allowance += grant.deliveries
        if len(grant.fresh) < len(ask.fresh):
            # The window is used up: successes widen it, or others give connections back.
            self._widening.refused(self._desk.loop.time(), others=self.others.present)
            if self.others.present:
                # Others have some of the connections, and may have them idle.
                self._path.call_others()
        if grant.fresh or grant.deliveries or (self.has_place and not ask.deliveries):
            self._wait = _FIRST_WAIT
            self._path.advance()
        else:
            self._refused(grant)

    def _refused(self, grant: Grant) -> None:
        """Nothing was granted."""
        wait, by = grant.again_ms, "breaker"
        if grant.state == "open":
            by = "window"
            wait, self._wait = min(wait, self._wait), min(self._wait * 2, _LONGEST_WAIT)
        self._rest(wait, grant.reply or "no connection is free at the site", by)

    def _note(self, grant: Grant, ask: Ask) -> None:
        self.others.note(grant.waiters, grant.in_use, len(grant.held) + len(grant.fresh))
        self._probe = grant.probe
        lost = set(ask.held).difference(grant.held)
        if not lost:
            return
        for session, token in list(self.sessions.items()):
            if token in lost:
                session.quit()
        gone = [token for token in self._spare if token in lost]
        self._spare = [token for token in self._spare if token not in lost]
        if gone:
            self._leave(gone)

    def _rest(self, wait_ms: int, reason: str, by: str = "breaker") -> None:
        """Nothing more may begin: where no session is left, the queues are parked."""
        self._rest_until(wait_ms)
        self._reason, self._refused_by = reason, by
        if self.has_sessions:
            self._look_in(wait_ms / 1000)
        else:
            self._give_spare_back()
            self._path.refused(wait_ms, reason)

    def _rest_until(self, wait_ms: int) -> None:
        self._not_before = self._desk.loop.time() + wait_ms / 1000

    # What becomes of sessions.

    def take_successes(self) -> tuple[int, int]:
        """Successes since the last report, and how many of them were prompt."""
        told = self.successes, self._prompt
        self.successes = self._prompt = 0
        return told

    def succeeded(self, session: Session, took: float) -> None:
        """A transaction went its whole way, in so many seconds."""
        self.successes += 1
        prompt = took < PROMPT
        self._prompt += prompt
        now = self._desk.loop.time()
        soon = self._widening.answered(now, len(self.sessions), prompt=prompt)
        if soon is not None:
            self._look_in(soon)
        if self._probe and self.sessions.get(session) == self._probe:
            self._probe = ""
            self._leave([])

    def make_way(self) -> None:
        """Give up idle sessions where others wait for them."""
        if self.others.waiters:
            for session in list(self.sessions):
                if session.idle:
                    session.quit()

    def failed(self, session: Session, failure: Failure) -> None:
        """A session ended under a transaction."""
        self._strike(session, failure)

    def closed(self, session: Session) -> None:
        """A session is gone, for whatever reason."""
        self._strike(session)

    def _strike(self, session: Session, failure: Failure | None = None) -> None:
        token = self.sessions.pop(session, None)
        if token is not None:
            metrics.CONNECTIONS_OPEN.dec()
            self._desk.idle.remove(session)
            self._leave([token], failure)

    def _leave(self, tokens: list[str], failure: Failure | None = None) -> None:
        if self._probe in tokens:
            self._probe = ""
        if failure is not None:
            # Until the store has said for how long.
            self._rest_until(_SHORTEST_REST)
        self._desk.leave(self._path, tokens, failure, self._left)

    def _left(self, left: Left | None, failure: Failure | None) -> None:
        """The store knows; after a failure the queues rest unless a session is left."""
        if failure is None:
            self._path.advance()
            return
        again_ms = left.again_ms if left is not None else 0
        self._probe = ""
        if failure.phase == "starttls" and not self.has_sessions:
            # The hosts are there, and are not good enough for what waits here.
            self._rest_until(_SHORTEST_REST)
            self._give_spare_back()
            self._path.unsafe(failure)
            return
        self._rest(max(again_ms, _SHORTEST_REST), str(failure.reply))

    def _give_spare_back(self) -> None:
        if self._spare:
            spare, self._spare = self._spare, []
            self._leave(spare)

    # Now and then.

    def tend(self) -> None:
        """Give up what is not needed, renew the rest, and report successes."""
        if self._spare and not self._path.supply and not self._path.coming:
            self._give_spare_back()
        self.make_way()
        if self.has_place and not self._asking:
            self._asking = True
            self._desk.enter(self._path, self._held(), 0, 0, self._renewed)

    def _renewed(self, ask: Ask, grant: Grant | None) -> None:
        self._asking = False
        if grant is not None:
            self._note(grant, ask)
        self._path.advance()

    def end(self, *, at_once: bool) -> None:
        """Close what is idle; everything where `at_once`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in list(self._opening):
            task.cancel()
        for session in list(self.sessions):
            if at_once:
                session.abort()
            else:
                session.quit()
        self._give_spare_back()
