"""Anything that may be said to the queue, in any order, beside a model of it."""

from __future__ import annotations

import sys

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from relay.store.codec import Place
from tests.support.modelled.base import (
    HOLDERS,
    HOUR,
    QUEUES,
    SECOND,
    TENANTS,
    attempted,
    ids,
    news,
    picks,
)
from tests.support.modelled.check import check
from tests.support.modelled.holders import Holders
from tests.support.modelled.operators import Operators
from tests.support.modelled.passing import Time
from tests.support.queue import New

#: What is asked of a delivery while it is attempted, most often what excludes each other.
MEANWHILE: tuple[str | int, ...] = (
    *("cancel", "hold", "cancel", "hold", "bounce", "hold", "unhold"),
    *(30, 7200),
)


class QueueMachine(Holders, Operators, Time):
    """All of it. `server` is set by the test."""

    @initialize(
        messages=st.lists(st.lists(news, min_size=1, max_size=3), max_size=3), leased=st.booleans()
    )
    def begin(self, messages: list[list[New]], leased: bool) -> None:
        """Not from nothing each time."""
        self.set_up()
        for deliveries in messages:
            self.admit(deliveries, "", "", 0)
        if leased:
            self.say_lease(HOLDERS[0], [(queue, 50) for queue in QUEUES], 50)

    @precondition(lambda self: self.room())
    @rule(
        deliveries=st.lists(news, min_size=1, max_size=3),
        key=st.sampled_from(("", "", "k1", "k2")),
        fingerprint=st.sampled_from(("f1", "f2")),
        chunks=st.sampled_from((0, 0, 0, 2)),
    )
    def admit(self, deliveries: list[New], key: str, fingerprint: str, chunks: int) -> None:
        message = self.new_id()
        deliveries = [self.moved(new) for new in deliveries]
        fingerprint = fingerprint if key else ""
        if chunks:
            self.run(self.queue.store_chunks(message, chunks))
        word, about, *rung = self.run(
            self.queue.admit(
                *deliveries, message=message, fingerprint=fingerprint, digest=key, chunks=chunks
            )
        )
        expected = self.model.admit(
            message, deliveries, key=key, fingerprint=fingerprint, chunks=chunks
        )
        assert (word, about) == expected
        assert set(rung) <= {new.queue for new in deliveries}
        again = self.run(
            self.queue.admit(
                *deliveries, message=message, fingerprint=fingerprint, digest=key, chunks=chunks
            )
        )
        assert again == ["repeated" if word == "accepted" else word, about]

    @precondition(lambda self: self.held())
    @rule(
        numbers=ids,
        asked=st.lists(st.sampled_from(MEANWHILE), min_size=1, max_size=3),
        wait_ms=st.sampled_from((0, 60 * SECOND, HOUR)),
    )
    def asked_meanwhile(self, numbers: list[int], asked: list[str | int], wait_ms: int) -> None:
        """Whatever operators ask of what is being attempted, its deferral finds it."""
        leases = self.chosen(numbers, self.held())
        for what in asked:
            self.say([lease.id for lease in leases], what)
        said = {"verb": "later", "event": "f", "wait_ms": wait_ms}
        said["outcome"] = attempted(["u"], "deferred")
        none: dict[str, tuple[str, ...]] = {lease.id: () for lease in leases}
        self.say_settle(leases, said, none, tried=True, twice=False)

    @precondition(lambda self: self.model.at(Place.READY))
    @rule(times=st.integers(1, 3))
    def workers_die(self, times: int) -> None:
        """Again and again under the same deliveries: these may be what kills them."""
        for _ in range(times):
            self.say_lease(HOLDERS[0], [(queue, 50) for queue in QUEUES], 50)
            self.holders_die()

    @precondition(lambda self: self.room())
    @rule(
        early=st.lists(news, min_size=1, max_size=3),
        last=st.lists(news, min_size=1, max_size=2),
        key=st.sampled_from(("", "k1")),
    )
    def stage(self, early: list[New], last: list[New], key: str) -> None:
        message = self.new_id()
        early, last = [self.moved(new) for new in early], [self.moved(new) for new in last]
        total = len(early) + len(last)
        answer = self.run(
            self.queue.admit(
                *early, message=message, fingerprint="f1" if key else "", digest=key,
                total=total, part="staged",
            )
        )  # fmt: skip
        if answer != ["staged", message]:
            assert key
            assert self.model._by_key(key, "f1") == tuple(answer)
            return
        self.model.stage(message, 0, early, total)
        self.staged[message] = (last, len(early), key)

    @precondition(lambda self: self.staged)
    @rule(n=picks)
    def admit_last(self, n: int) -> None:
        message = list(self.staged)[n % len(self.staged)]
        last, first, key = self.staged.pop(message)
        fingerprint = "f1" if key else ""
        word, about, *_ = self.run(
            self.queue.admit(
                *last, message=message, fingerprint=fingerprint, digest=key,
                total=first + len(last), first=first, part="last",
            )
        )  # fmt: skip
        expected = self.model.admit_last(message, last, key=key, fingerprint=fingerprint)
        assert (word, about) == expected

    @invariant()
    def all_agrees(self) -> None:
        if hasattr(self, "model"):
            self.run(check(self.queue, self.model, self.trimmed))

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.run(self.finish())
        finally:
            self.run(self.client.close())
            self.runner.close()

    async def finish(self) -> None:
        """However it stands: woken by rings alone, a worker brings all of it to an end."""
        queue, model = self.queue, self.model
        for tenant in TENANTS:
            while (await queue.resume(f"t:{tenant}", limit=1))[0] == "more":
                pass
        for name in QUEUES:
            await queue.resume(f"q:{name}")
        model.held_queues.clear()
        model.held_tenants.clear()
        model.going_on.clear()
        for id_ in [one.id for one in model.at(Place.HELD)]:
            await queue.unhold(id_)
            model.unhold(id_)
        for _ in range(400):
            if not any(model.at(*Place)):
                break
            await self.one_round()
        assert not any(model.at(*Place)), f"never ends: {model.at(*Place)}"
        for message in model.messages.values():
            for claim in sorted(message.claims):
                assert await queue.close(claim) == [model.close(*claim)]
        await check(queue, model, self.trimmed)
        await self.assert_empty()

    async def one_round(self) -> None:
        """As the pump and a worker do it."""
        queue, model = self.queue, self.model
        await self.forget(self.move_to(await self.soon()))
        answer = await queue.reclaim()
        expected = model.reclaim(50)
        assert (answer[0] == "grace") == (expected is None)
        await self.promote_with(50)
        for id_ in [one.id for one in model.at(Place.HELD)]:
            await queue.unhold(id_)
            model.unhold(id_)
        for name in (await queue.ring())[1:]:
            self.seq += 1
            model.look()
            wants = [(name, 50)]
            raw = await queue.lease_raw(*wants, holder="last", seq=self.seq)
            for lease in self.read_grant(raw, "last", wants, 50):
                done = self.left(lease)
                [word] = await queue.settle(lease, outcome=attempted(done, "delivered"))
                model.look()
                right = model.settle(
                    lease, verb="final", wait_ms=0, done=done, report=False, doubt=False,
                    attempted=True,
                )  # fmt: skip
                assert word in right

    async def soon(self) -> int:
        """When something is to be done next, by the store's own books."""
        if self.model.at(Place.READY):
            return self.model.now + 10 * SECOND
        keys = self.queue.keys
        times = [*(await self.queue.scores(keys.later)).values()]
        times += (await self.queue.scores(keys.leased)).values()
        later = min(times, default=0)
        return max(self.model.now + 10 * SECOND, later + -later % SECOND)

    async def assert_empty(self) -> None:
        """Nothing but records and what ends by itself."""
        names = [name.decode() for name in await self.client.read("KEYS", "relay:*")]
        ends = [int(await self.client.read("PTTL", name)) >= 0 for name in names]
        names = [name for name, soon in zip(names, ends, strict=True) if not soon]
        prefix = self.queue.keys.prefix
        left = {name.removeprefix(prefix).partition(":")[0] for name in names}
        # `late` forgets what is over when its time comes.
        may_stay = {"events", "cursors", "seen", "reasons", "suspects", "late"}
        assert left <= may_stay, f"left: {names}"
