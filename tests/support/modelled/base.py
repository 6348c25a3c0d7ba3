"""What all that may be said to the queue works on: a store, a model of it, and a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from relay.mail.delivery import Attempt, Result
from relay.store.address import Address
from relay.store.client import StoreClient
from relay.store.codec import Flag, Place, encode_attempt
from tests.support.clock import ClockedServer
from tests.support.modelled.model import Model, One
from tests.support.queue import LEASE_MS, New, QueueStore
from tests.support.stored import Held

_T = TypeVar("_T")

START_MS = 1_800_000_000_000
SECOND, HOUR, DAY = 1000, 3_600_000, 24 * 3_600_000
QUEUES = ("a.example", "b.example", "c.example")
TENANTS = ("", "t1", "t2")
HOLDERS = ("w1", "w2", "w3")
CONSUMERS = ("dsn", "hooks")
#: So long all consumers must have applied an event before it is forgotten.
KEEP_MS = 300_000
#: Moves of the clock: some end leases, grace, waits, idempotency keys, records and deliveries.
AHEAD = (
    SECOND, 5 * SECOND, 9 * SECOND, 11 * SECOND, 30 * SECOND, 31 * SECOND, 61 * SECOND, HOUR, DAY,
    3 * DAY, -SECOND, -20 * SECOND, -2 * HOUR,
)  # fmt: skip

picks = st.integers(0, 1_000_000)
news = st.builds(
    New,
    queue=st.sampled_from(QUEUES),
    lane=st.builds("{}{}".format, st.sampled_from("hnb"), st.sampled_from(TENANTS)),
    cost=st.sampled_from((1, 10, 100)),
    flags=st.sampled_from((Flag(0), Flag.REPORT)),
    due_ms=st.sampled_from((0, 0, 0, 5 * SECOND, 2 * HOUR)),
    expires_ms=st.sampled_from((0, 0, 30 * SECOND, 30 * SECOND, HOUR, 6 * DAY)),
    recipients=st.sampled_from((("u",), ("u",), ("u", "v"), ("u", "v", "w"))),
    late_ms=st.sampled_from((0, 0, 5 * SECOND, HOUR)),
)
ids = st.lists(picks, min_size=1, max_size=3)


class Modelled(RuleBasedStateMachine):
    """`server` is set by the test. What is said and how, the rules of the classes above tell."""

    server: ClockedServer

    def set_up(self) -> None:
        """An empty store, and a model of it."""
        self.runner = asyncio.Runner()
        self.server.flush()
        self.server.set_clock(START_MS)
        self.client: StoreClient = self.run(self.open())
        self.queue = QueueStore(self.client)
        self.model = Model(START_MS)
        self.leases: list[Held] = []
        self.said: Callable[[], Any] | None = None
        self.granted: tuple[int, list[Held]] = (0, [])
        self.seq = 0
        self.staged: dict[str, tuple[list[New], int, str]] = {}
        self.made = 0
        self.trimmed: set[tuple[str, str]] = set()
        self.applied_at: dict[tuple[int, ...], int] = {}

    async def open(self) -> StoreClient:
        client = StoreClient(Address.parse(self.server.url))
        await client.start()
        return client

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.runner.run(work)

    def moved(self, new: New) -> New:
        """Its times, that are from now on, as times."""
        now = self.model.now
        due_ms = now + new.due_ms if new.due_ms else 0
        expires_ms = now + new.expires_ms if new.expires_ms else 0
        return New(
            queue=new.queue, lane=new.lane, cost=new.cost, flags=new.flags,
            due_ms=due_ms, expires_ms=expires_ms, recipients=new.recipients,
            late_ms=now + new.late_ms if new.late_ms else 0,
        )  # fmt: skip

    def new_id(self) -> str:
        return self.queue.new_id()

    def room(self) -> bool:
        """Not too much to look through after each step."""
        return len(self.model.messages) < 14

    def some(self, numbers: list[int], every: list[str]) -> list[str]:
        return list(dict.fromkeys(every[number % len(every)] for number in numbers))

    def ready_in(self, queue: str) -> list[One]:
        return [one for one in self.model.at(Place.READY) if one.new.queue == queue]

    def served_in(self, queue: str) -> list[One]:
        """Those whose tenant is neither held nor being let go on."""
        out = self.model.held_tenants | self.model.going_on
        return [one for one in self.ready_in(queue) if one.new.lane[1:] not in out]

    def left(self, lease: Held) -> tuple[str, ...]:
        one = self.model.all.get(lease.id)
        return tuple(one.left) if one is not None else ()

    def assert_same(self, before: dict[str, Any], who: str) -> None:
        after = self.run(self.everything())
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        assert not changed, f"{who} changed {changed}"

    async def everything(self) -> dict[str, Any]:
        """All that is stored; DUMP alone tells hashes apart by the order that their fields have."""
        found: dict[str, Any] = await self.queue.dump()
        for name in found:
            if await self.client.read("TYPE", name) == b"hash":
                flat = await self.client.read("HGETALL", name)
                found[name] = dict(zip(flat[::2], flat[1::2], strict=True))
        return found

    def move_to(self, now: int) -> tuple[list[str], list[str]]:
        self.server.set_clock(now)
        if now > self.granted[0] + LEASE_MS:
            self.said = None
        return self.model.set_now(now)

    async def forget(self, gone: tuple[list[str], list[str]]) -> None:
        """What expired goes for good when it is looked at, even if the clock then goes back."""
        messages, digests = gone
        names = [self.queue.keys.record(message) for message in messages]
        names += [self.queue.keys.idempotency(digest) for digest in digests]
        if names:
            assert not await self.client.read("EXISTS", *names)


def attempted(done: Sequence[str], fate: str, deferred: Sequence[str] = ()) -> bytes:
    """An attempt with these outcomes."""
    results = [Result(address, fate, 250, "2.0.0", "so") for address in done]
    results += [Result(address, "deferred", 451, "4.0.0", "later") for address in deferred]
    return encode_attempt(
        Attempt(1, 1, START_MS, 20, "mx.a.example", "192.0.2.1", "", tuple(results))
    )
