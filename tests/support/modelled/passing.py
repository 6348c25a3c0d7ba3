"""What time does to the queue, and whoever looks at the clock for it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import rule

from relay.store.codec import Place, decode_stored
from relay.store.script import script
from tests.support.modelled.base import AHEAD, CONSUMERS, KEEP_MS, SECOND, START_MS, Modelled
from tests.support.modelled.model import One


class Time(Modelled):
    """The clock goes on or jumps; due deliveries, lost leases, queues to ring."""

    @rule(ms=st.sampled_from(AHEAD))
    def time_passes(self, ms: int) -> None:
        """Forwards, or (below 0) the clock jumps back."""
        self.set_now(max(START_MS, self.model.now + ms))

    @rule()
    def holders_die(self) -> None:
        """Leases run out while others look at them, so that there is no grace."""
        for _ in range(4):
            self.set_now(self.model.now + 9 * SECOND)
            self.reclaim(50)

    def set_now(self, now: int) -> None:
        self.run(self.forget(self.move_to(now)))

    @rule(
        what=st.sampled_from(("promote", "promote", "reclaim", "ring", "trim")),
        limit=st.sampled_from((1, 50, 50)),
        some=st.integers(0, 2),
    )
    def upkeep(self, what: str, limit: int, some: int) -> None:
        if what == "promote":
            self.run(self.promote_with(limit))
        elif what == "reclaim":
            self.reclaim(limit)
        elif what == "ring":
            self.ring(limit, parked_ms=(0, SECOND, 900 * SECOND)[some])
        else:
            self.trim(CONSUMERS[some % 2 : some + 1])

    async def promote_with(self, limit: int) -> None:
        _, _, _, named = await self.queue.promote(limit=limit)
        await self.take_over(limit)
        if named:
            await self.queue.promote(*named, limit=limit)
            await self.take_over(limit)
            await self.queue.promote(*named, limit=limit)
            await self.take_over(limit)
        late = [one.id for one in self.model.all.values() if self.model.is_late(one)]
        assert limit < 50 or not late, f"late, and not told: {late}"

    async def take_over(self, limit: int) -> None:
        """What promote did was right, and it did all that it could."""
        model = self.model
        flat = await self.client.read("HGETALL", self.queue.keys.deliveries)
        there = {flat[at].decode(): decode_stored(flat[at + 1]) for at in range(0, len(flat), 2)}
        for one in list(model.all.values()):
            if one.new.late_ms and not one.told and await self.is_told(one):
                model.told_late(one)
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

    async def is_told(self, one: One) -> bool:
        """Whether its sender is to hear that it is late."""
        record = self.queue.keys.record(one.message)
        return bool(await self.client.read("HEXISTS", record, f"k{one.id[21:]}.0"))

    def reclaim(self, limit: int) -> None:
        answer = self.run(self.queue.reclaim(limit))
        expected = self.model.reclaim(limit)
        if expected is None:
            assert answer[0] == "grace"
        else:
            assert (answer[0], answer[1], answer[2]) == ("reclaimed", *expected)

    def ring(self, limit: int, parked_ms: int) -> None:
        """Queues are rung, and put off by whoever drains them."""
        _, *rung = self.run(self.queue.ring(limit))
        for queue in rung:
            ready = [one for one in self.model.at(Place.READY) if one.new.queue == queue]
            assert ready, f"{queue} was rung, and has nothing"
            assert queue not in self.model.held_queues
            if parked_ms:
                self.run(self.queue.park(queue, wait_ms=parked_ms, why="421 no"))
        _, *again = self.run(self.queue.ring(limit))
        assert not {*rung} & {*again}, "rung twice at once"

    def trim(self, consumers: Sequence[str]) -> None:
        """Some consumers apply all events; those that all had a while ago are forgotten."""
        self.trimmed.update(self.run(self.queue.events()))
        for consumer in consumers:
            self.run(self.apply_all(consumer))
        now, before = self.model.now, self.run(self.stream())
        applied = self.run(self.applied_by_all())
        for entry in before:
            if entry <= applied:
                self.applied_at[entry] = min(self.applied_at.get(entry, now), now)
        self.run(self.queue.trim(*CONSUMERS))
        for entry in before - self.run(self.stream()):
            assert now - self.applied_at.get(entry, now) >= KEEP_MS, f"{entry} is forgotten early"

    async def stream(self) -> set[tuple[int, ...]]:
        """The ids of the events' entries."""
        entries = await self.client.read("XRANGE", self.queue.keys.events, "-", "+")
        return {_moment(entry[0]) for entry in entries}

    async def applied_by_all(self) -> tuple[int, ...]:
        """Up to where every consumer has applied them."""
        cursors = await self.client.read("HMGET", self.queue.keys.cursors, *CONSUMERS)
        return min(_moment(cursor or b"0-0") for cursor in cursors)

    async def apply_all(self, consumer: str) -> None:
        keys = self.queue.keys
        last = await self.client.read("XREVRANGE", keys.events, "+", "-", "COUNT", 1)
        if last:
            await self.client.call(script("advance"), [keys.cursors], [consumer, last[0][0]])


def _moment(entry: bytes) -> tuple[int, ...]:
    """An id of a stream's entry, so that ids can be compared."""
    return tuple(map(int, entry.split(b"-")))
