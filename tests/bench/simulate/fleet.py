"""The fleet of a simulation: workers that do what Relay's do, in the order of docs/architecture.md:
enter, lease no more than was granted, transact, settle, leave. Every decision is the real one."""

from __future__ import annotations

import heapq
import random
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from relay.mail.outcome import Bounced, Deferred, Delivered, Scope
from relay.mail.reply import Reply
from relay.policy.classify import classify
from relay.policy.retry import RetrySchedule, next_attempt
from relay.policy.shaping import PROMPT, Limits
from tests.bench.simulate.record import Record
from tests.bench.simulate.store import MOST_DELIVERIES, Grant, Left, Run, Store
from tests.bench.simulate.world import Host, Sender, World, is_steady

#: As relay/delivery/path.py and staff.py have them.
_FIRST_AHEAD, _MOST_AHEAD = 4, 100
_SHORTEST_REST, _FIRST_WAIT, _LONGEST_WAIT = 1000, 200, 5000
#: Milliseconds until a refused connection is known, for opening one, and of a wake-up.
_REFUSAL, _OPENING, _WAKE_UP = 20, 60, 2
#: How long an idle connection is kept, in ms.
_IDLE = 5000
#: Milliseconds between two lots of the mail that keeps coming.
_LOT = 2000
#: One message in so many is for a recipient that does not exist.
_UNKNOWN = 100
_TAKEN = classify(Reply(250, "2.0.0", "taken"), Scope.MESSAGE)
_NOBODY = classify(Reply(550, "5.1.1", "nobody of this name"), Scope.RECIPIENT)
_LATER = classify(Reply(451, "4.7.1", "greylisted"), Scope.RECIPIENT)


class Desk:
    """What one worker has in hand for one site."""

    __slots__ = (
        "ahead",
        "busy",
        "host",
        "limits",
        "queues",
        "rests",
        "site",
        "tokens",
        "wait",
        "worker",
    )

    def __init__(self, worker: str, site: str, host: Host, limits: Limits) -> None:
        self.worker = worker
        self.site = site
        self.host = host
        self.limits = limits
        self.queues: OrderedDict[str, None] = OrderedDict()
        self.tokens: list[str] = []
        self.busy = False
        self.ahead = _FIRST_AHEAD
        self.wait = _FIRST_WAIT
        #: How often it had nothing to do.
        self.rests = 0


class Fleet:
    """Workers on one store in one world."""

    def __init__(self, world: World, record: Record, *, workers: int = 4, seed: int = 1) -> None:
        self.world = world
        self.record = record
        self.store = Store()
        self.now = 0
        self._random = random.Random(seed)
        self._workers = [f"w{number}" for number in range(workers)]
        self._desks: dict[tuple[str, str], Desk] = {}
        self._open: Counter[str] = Counter()
        self._all_open = 0
        self._events: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = self._token = self._message = 0
        self._schedule = RetrySchedule()
        self._accepted: dict[int, int] = {}
        self._first_seen: dict[str, int] = {}
        self._left: dict[str, Counter[str]] = {}
        self._begun: Counter[str] = Counter()

    def run(self, until_ms: int) -> None:
        """From the first message on, until all have an outcome or time is up."""
        for sender in self.world.senders:
            self.store.set_price(sender.lane, sender.cost)
            if sender.over_ms:
                self._after(0, self._trickle, sender, 0)
            else:
                self._campaign(sender)
        while self._events and self._events[0][0] <= until_ms:
            self.now, _, call, args = heapq.heappop(self._events)
            self.store.set_clock(self.now)
            call(*args)

    def _after(self, ms: int, call: Callable[..., None], *args: Any) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + ms, self._number, call, args))

    # Mail comes.

    def _campaign(self, sender: Sender) -> None:
        """All of it at once, each domain its share."""
        before, total = 0, self.world.shares[-1]
        for name, share in zip(self.world.domains, self.world.shares, strict=True):
            upto = round(sender.messages * share / total)
            if upto > before:
                self._left.setdefault(name, Counter())[sender.lane] = upto - before
                self._submit(name, sender, upto - before)
            before = upto

    def _trickle(self, sender: Sender, sent: int) -> None:
        """What is due by now, and then the next lot."""
        due = min(sender.messages * (self.now + _LOT) // sender.over_ms, sender.messages)
        names = self._random.choices(
            self.world.domains, cum_weights=self.world.shares, k=due - sent
        )
        for name, count in Counter(names).items():
            self._submit(name, sender, count)
        if due < sender.messages:
            self._after(_LOT, self._trickle, sender, due)

    def _submit(self, queue: str, sender: Sender, count: int) -> None:
        first = self._message + 1
        self._message += count
        self._make_ready(queue, sender.lane, first, count, 0)

    def _make_ready(self, queue: str, lane: str, first: int, count: int, attempts: int) -> None:
        if self.store.admit(queue, lane, self.now, first, count, attempts):
            self._after(_WAKE_UP, self._ring, queue)

    # Workers.

    def _ring(self, queue: str) -> None:
        worker = self._random.choice(self._workers)
        site = self.world.site_of[queue]
        desk = self._desks.get((worker, site))
        if desk is None:
            desk = Desk(worker, site, self.world.hosts[site], self.world.shaping.limits("", site))
            self._desks[worker, site] = desk
        desk.queues[queue] = None
        self._advance(desk)

    def _advance(self, desk: Desk) -> None:
        """Ask for connections and deliveries, then send as much as was granted."""
        if desk.busy or not desk.queues:
            return
        queue = next(iter(desk.queues))
        wanted = min(desk.ahead, MOST_DELIVERIES)
        count = max(wanted - len(desk.tokens), 0) if desk.tokens else 1
        fresh = [f"{desk.worker}.{self._token + n}" for n in range(count)]
        self._token += count
        grant = self.store.enter(
            desk.worker, desk.site, queue, wanted, desk.limits, desk.tokens, fresh
        )
        surplus = desk.tokens[grant.held :]
        desk.tokens = desk.tokens[: grant.held]
        if surplus:
            self._close(desk, surplus)
        if grant.deliveries and grant.held + grant.fresh:
            desk.wait = _FIRST_WAIT
            self._connect(desk, fresh[: grant.fresh], grant)
        else:
            self._refused(desk, grant)

    def _refused(self, desk: Desk, grant: Grant) -> None:
        """Nothing may begin: the queues rest, unless something is under way that is waited for."""
        wait = grant.again_ms
        if grant.state == "open":
            wait, desk.wait = min(wait, desk.wait), min(desk.wait * 2, _LONGEST_WAIT)
        self._park(desk, wait)

    def _park(self, desk: Desk, wait_ms: int) -> None:
        if desk.tokens:
            self._close(desk, desk.tokens)
            desk.tokens = []
        for queue in desk.queues:
            self._after(max(wait_ms, 1), self._ring, queue)
        desk.queues.clear()

    def _connect(self, desk: Desk, fresh: list[str], grant: Grant) -> None:
        """Open what was granted; what the site does not take is a failure."""
        host = desk.host
        record, minute = self.record, self.record.minute(self.now)
        record.opened[desk.site] += len(fresh)
        record.tried[minute][host.kind] += len(fresh)
        failed: list[str] = []
        if host.away[0] <= self.now < host.away[1]:
            failed, desk.tokens = [*desk.tokens, *fresh], []
            self._count(desk, len(fresh) - len(failed))
        else:
            self._count(desk, len(fresh))
            desk.tokens += fresh
            over = self._open[desk.site] - host.most if host.most else 0
            if over > 0:
                failed, desk.tokens = desk.tokens[-over:], desk.tokens[:-over]
                self._count(desk, -len(failed))
        record.failed[desk.site] += len(failed)
        desk.busy = True
        if desk.tokens:
            self._send(desk, failed, grant, _OPENING if fresh else 0)
        else:
            self._after(_REFUSAL, self._settle, desk, [], failed, grant.deliveries)

    def _count(self, desk: Desk, more: int) -> None:
        """Connections were opened or closed; none beyond the site's limit."""
        self._open[desk.site] += more
        self._all_open += more
        record = self.record
        minute = record.minute(self.now)
        record.in_use[minute] = max(record.in_use[minute], self._all_open)
        record.beyond += self._open[desk.site] > desk.limits.connections

    def _close(self, desk: Desk, tokens: list[str]) -> None:
        self._count(desk, -len(tokens))
        self._told(desk, self._leave(desk, tokens, 0, 0, 0))

    def _send(self, desk: Desk, failed: list[str], grant: Grant, opening: int) -> None:
        """Lease what was granted, and have it under way over the connections that there are."""
        host = desk.host
        most = min(grant.deliveries, desk.ahead)
        names = list(desk.queues)[:most]
        more, runs = self.store.lease(desk.worker, names, max(1, most // len(names)), most)
        for name in names:
            del desk.queues[name]
        desk.queues.update(dict.fromkeys(more))
        if more:
            desk.ahead = min(desk.ahead * 2, _MOST_AHEAD)
        count = sum(run[5] for run in runs)
        self._note(desk, runs, count)
        took = max(host.service_ms, -(-count * host.service_ms // len(desk.tokens)))
        unused = grant.deliveries - count
        self._after(opening + (took if count else 0), self._settle, desk, runs, failed, unused)

    def _note(self, desk: Desk, runs: list[Run], count: int) -> None:
        """What was begun: how long it had waited, whose turn it was, and whether it may."""
        record = self.record
        record.attempts += count
        for queue, lane, ms, attempts, _, number in runs:
            if not attempts:
                if desk.host.kind in ("plain", "fast") and is_steady(lane):
                    record.waits[record.minute(ms)].add(self.now - ms, number)
                    record.well.add(self.now - ms, number)
                left = self._left.get(queue)
                if left and lane in left:
                    if len(left) > 1 and all(n > MOST_DELIVERIES for n in left.values()):
                        record.shared[queue][lane] += number
                    left[lane] -= number
        rate = desk.limits.delivery_rate
        if rate is not None:
            self._begun[desk.site] += count
            allowed = rate.most_at_once + self.now * 1000 / rate.every_us
            record.beyond += self._begun[desk.site] > allowed + 1

    def _settle(self, desk: Desk, runs: list[Run], failed: list[str], unused: int) -> None:
        """What was under way is done, and the path is told how it went."""
        for run in runs:
            self._conclude(desk, run)
        desk.busy = False
        successes = sum(run[5] for run in runs)
        left = self._leave(desk, failed, successes, len(failed), unused)
        if failed and not desk.tokens:
            self._park(desk, max(left.again_ms, _SHORTEST_REST))
        self._told(desk, left)
        if desk.queues:
            self._advance(desk)
        else:
            desk.rests += 1
            self._after(0 if left.waiters else _IDLE, self._rest, desk, desk.rests)

    def _rest(self, desk: Desk, rests: int) -> None:
        """Connections that are not used for a while, or that others wait for, are closed."""
        if desk.rests == rests and desk.tokens and not desk.busy:
            tokens, desk.tokens = desk.tokens, []
            self._close(desk, tokens)

    def _leave(
        self, desk: Desk, tokens: list[str], successes: int, failures: int, unused: int
    ) -> Left:
        return self.store.leave(
            desk.worker,
            desk.site,
            desk.limits,
            tokens,
            successes,
            failures,
            unused,
            prompt=desk.host.service_ms < PROMPT * 1000,
        )

    def _told(self, desk: Desk, left: Left) -> None:
        for queue in left.queues:
            self._after(_WAKE_UP, self._ring, queue)

    # Outcomes.

    def _conclude(self, desk: Desk, run: Run) -> None:
        queue, lane, ms, attempts, first, count = run
        record, site, host = self.record, desk.site, desk.host
        since = self._first_seen.setdefault(queue, self.now) if host.greylist_ms else self.now
        if host.greylist_ms and self.now < since + host.greylist_ms:
            for message in range(first, first + count):
                self._defer(queue, lane, ms, attempts, message)
            return
        unknown = (first + count - 1) // _UNKNOWN - (first - 1) // _UNKNOWN
        for outcome, number in ((_NOBODY, unknown), (_TAKEN, count - unknown)):
            match outcome:
                case Delivered():
                    record.delivered[site] += number
                    record.by_minute[record.minute(self.now)][host.kind] += number
                case Bounced():
                    record.bounced += number
                case Deferred():
                    raise AssertionError("what is final was deferred")
        if not is_steady(lane):
            record.campaigns[site] += count
            record.drained_ms[site] = self.now

    def _defer(self, queue: str, lane: str, ms: int, attempts: int, message: int) -> None:
        if not isinstance(_LATER, Deferred):
            raise TypeError("what is temporary was made final")
        due = next_attempt(
            self._schedule,
            attempts=attempts + 1,
            accepted_ms=self._accepted.setdefault(message, ms),
            now_ms=self.now,
            jitter=self._random.random(),
        )
        if due is None:
            self.record.expired += 1
            return
        self.record.deferred += 1
        self._after(due - self.now, self._make_ready, queue, lane, message, 1, attempts + 1)
