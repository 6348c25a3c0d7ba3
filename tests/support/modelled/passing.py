"""What time does to the queue, and whoever looks at the clock for it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from relay.store.codec import Place, decode_stored
from tests.support.modelled.base import AHEAD, BACK, QUEUES, SECOND, START_MS, Modelled


class Time(Modelled):
    """The clock goes on or jumps; due deliveries, lost leases, queues to ring."""

    @rule(ms=st.sampled_from(AHEAD))
    def time_passes(self, ms: int) -> None:
        self.set_now(self.model.now + ms)

    @rule(ms=st.sampled_from(BACK))
    def clock_jumps_back(self, ms: int) -> None:
        self.set_now(max(START_MS, self.model.now - ms))

    def set_now(self, now: int) -> None:
        self.run(self.forget(self.move_to(now)))

    @rule(limit=st.sampled_from((1, 50, 50)))
    def promote(self, limit: int) -> None:
        self.run(self.promote_with(limit))

    async def promote_with(self, limit: int) -> None:
        _, _, _, named = await self.queue.promote(limit=limit)
        await self.take_over(limit)
        if named:
            await self.queue.promote(*named, limit=limit)
            await self.take_over(limit)
            await self.queue.promote(*named, limit=limit)
            await self.take_over(limit)

    async def take_over(self, limit: int) -> None:
        """What promote did was right, and it did all that it could."""
        model = self.model
        flat = await self.client.read("HGETALL", self.queue.keys.deliveries)
        there = {flat[at].decode(): decode_stored(flat[at + 1]) for at in range(0, len(flat), 2)}
        for one in list(model.all.values()):
            if one.place is None or one.id not in there:
                if one.place is not None:
                    model.promoted(one, None, 0)
                continue
            stored = there[one.id]
            if stored.place is not one.place:
                model.promoted(one, stored.place, stored.ms)
        if limit == 50:
            due = [one.id for one in model.at(Place.LATER) if one.due_ms <= model.now]
            assert not due, f"due, and not promoted: {due}"

    @rule(limit=st.sampled_from((1, 50, 50)))
    def reclaim(self, limit: int) -> None:
        answer = self.run(self.queue.reclaim(limit))
        expected = self.model.reclaim(limit)
        if expected is None:
            assert answer[0] == "grace"
        else:
            assert (answer[0], answer[1], answer[2]) == ("reclaimed", *expected)

    @rule(limit=st.sampled_from((1, 50)))
    def ring(self, limit: int) -> None:
        _, *rung = self.run(self.queue.ring(limit))
        for queue in rung:
            ready = [one for one in self.model.at(Place.READY) if one.new.queue == queue]
            assert ready, f"{queue} was rung, and has nothing"
            assert queue not in self.model.held_queues

    @rule(queue=st.sampled_from(QUEUES), wait_ms=st.sampled_from((SECOND, 900 * SECOND)))
    def park(self, queue: str, wait_ms: int) -> None:
        self.run(self.queue.park(queue, wait_ms=wait_ms, why="421 no"))
