"""What operators and consumers of events say to the queue."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from relay.store.script import script
from tests.support.modelled.base import (
    CONSUMERS,
    DAY,
    HOUR,
    QUEUES,
    SECOND,
    TENANTS,
    Modelled,
    ids,
    picks,
)


class Operators(Modelled):
    """Deliveries, queues and tenants held and let go on; claims closed; events trimmed."""

    @precondition(lambda self: self.model.all)
    @rule(numbers=ids, what=st.sampled_from(("cancel", "hold", "unhold")))
    def ask(self, numbers: list[int], what: str) -> None:
        chosen = self.some(numbers, list(self.model.all))
        answer = self.run(getattr(self.queue, what)(*chosen))
        words = answer[0] if what == "unhold" else answer
        assert words == [getattr(self.model, what)(id_) for id_ in chosen]

    @precondition(lambda self: self.model.all)
    @rule(numbers=ids, wait_ms=st.sampled_from((0, 30 * SECOND, 2 * HOUR, 9 * DAY)))
    def reschedule(self, numbers: list[int], wait_ms: int) -> None:
        chosen = self.some(numbers, list(self.model.all))
        due_ms = self.model.now + wait_ms if wait_ms else 0
        words, _ = self.run(self.queue.reschedule(*chosen, due_ms=due_ms))
        assert words == [self.model.reschedule(id_, due_ms) for id_ in chosen]

    @rule(queue=st.sampled_from(QUEUES))
    def pause_queue(self, queue: str) -> None:
        self.run(self.queue.pause(f"q:{queue}"))
        self.model.held_queues.add(queue)

    @rule(tenant=st.sampled_from(TENANTS))
    def pause_tenant(self, tenant: str) -> None:
        self.run(self.queue.pause(f"t:{tenant}"))
        self.model.held_tenants.add(tenant)
        self.model.going_on.discard(tenant)

    @rule(queue=st.sampled_from(QUEUES))
    def resume_queue(self, queue: str) -> None:
        self.run(self.queue.resume(f"q:{queue}"))
        self.model.held_queues.discard(queue)

    @rule(tenant=st.sampled_from(TENANTS), limit=st.sampled_from((1, 50)))
    def resume_tenant(self, tenant: str, limit: int) -> None:
        """In one step, or in several ones of which some are still to come."""
        word, *_ = self.run(self.queue.resume(f"t:{tenant}", limit=limit))
        self.model.held_tenants.discard(tenant)
        self.model.going_on.discard(tenant)
        if word == "more":
            self.model.going_on.add(tenant)

    @rule(n=picks)
    def close(self, n: int) -> None:
        claims = [claim for one in self.model.messages.values() for claim in sorted(one.claims)]
        if claims:
            claim = claims[n % len(claims)]
            assert self.run(self.queue.close(claim)) == [self.model.close(*claim)]
            assert self.run(self.queue.close(claim)) == ["done"]

    @rule(consumer=st.sampled_from(CONSUMERS), apply=st.booleans())
    def trim(self, consumer: str, apply: bool) -> None:
        """A consumer applies all events; those that both had a while ago are forgotten."""
        events = self.run(self.queue.events())
        self.trimmed.update(events)
        if apply:
            self.run(self.apply_all(consumer))
        self.run(self.queue.trim(*CONSUMERS))

    async def apply_all(self, consumer: str) -> None:
        keys = self.queue.keys
        last = await self.client.read("XREVRANGE", keys.events, "+", "-", "COUNT", 1)
        if last:
            await self.client.call(script("advance"), [keys.cursors], [consumer, last[0][0]])
