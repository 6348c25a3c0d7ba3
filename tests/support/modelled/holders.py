"""What workers say to the queue, and what comes too late."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from relay.mail.delivery import Delivery
from relay.mail.envelope import Recipient
from relay.store.codec import Place, decode_stored, encode_delivery
from tests.support.modelled.base import (
    HOLDERS,
    HOUR,
    QUEUES,
    SECOND,
    START_MS,
    Modelled,
    attempted,
    ids,
    picks,
)
from tests.support.queue import LEASE_MS
from tests.support.stored import Held


class Holders(Modelled):
    """Leases: taken, renewed, settled, given back; by who holds them and by who no longer does."""

    @precondition(lambda self: self.model.at(Place.READY))
    @rule(holder=st.sampled_from(HOLDERS))
    def lease_all(self, holder: str) -> None:
        """What is ready in any queue."""
        self.say_lease(holder, [(queue, 50) for queue in QUEUES], 50)

    @rule(
        holder=st.sampled_from(HOLDERS),
        wants=st.lists(
            st.tuples(st.sampled_from(QUEUES), st.sampled_from((1, 2, 50))), min_size=1, max_size=4
        ),
        most=st.sampled_from((1, 2, 50, 50)),
    )
    def lease_some(self, holder: str, wants: list[tuple[str, int]], most: int) -> None:
        self.say_lease(holder, wants, most)

    def say_lease(self, holder: str, wants: list[tuple[str, int]], most: int) -> None:
        self.seq += 1
        self.model.look()
        said = partial(self.queue.lease_raw, *wants, holder=holder, seq=self.seq, most=most)
        granted = self.read_grant(self.run(said()), holder, wants, most)
        self.said, self.granted = said, (self.model.now, granted)
        self.leases += granted

    def read_grant(
        self, answer: list[Any], holder: str, wants: list[tuple[str, int]], most: int
    ) -> list[Held]:
        model, granted = self.model, []
        assert answer[0] == model.now + LEASE_MS
        left = most
        for (queue, count), entry in zip(wants, answer[1:], strict=True):
            found = [
                (entry[at].decode(), decode_stored(entry[at + 1]).fence)
                for at in range(1, len(entry), 2)
            ]
            assert len(found) <= min(count, left)
            if found:
                assert queue not in model.held_queues
            alone = [id_ for id_, _ in found if model.all[id_].alone]
            assert not alone or len(found) == 1, "leased together with one that is to be alone"
            for id_, _ in found:
                assert model.all[id_].new.queue == queue
                assert model.all[id_].new.lane[1:] not in model.held_tenants
            before = self.ready_in(queue)
            granted += model.grant(holder, found)
            left -= len(found)
            stopped = any(one.alone for one in before)
            stopped |= queue in model.held_queues
            if len(found) < min(count, left + len(found)) and not stopped:
                assert not self.served_in(queue), "more was wanted, and is ready"
        return granted

    @precondition(lambda self: self.said and self.granted[1])
    @rule()
    def lease_again(self) -> None:
        """The last call's answer was lost; who says it again has not waited for long."""
        _, granted = self.granted
        assert self.said is not None
        self.model.look()
        still = sorted((one for one in granted if self.model.holds(one)), key=_by_id)
        answer = self.run(self.said())
        again = [
            Held(entry[at].decode(), decode_stored(entry[at + 1]).fence, granted[0].holder)
            for entry in answer[1:]
            for at in range(1, len(entry), 2)
        ]
        assert sorted(again, key=_by_id) == still
        for lease in still:
            self.model.all[lease.id].until = self.model.now + LEASE_MS

    def held(self) -> list[Held]:
        """The leases that are good."""
        return [one for one in self.leases if self.model.holds(one)]

    def chosen(self, numbers: list[int], pool: list[Held]) -> list[Held]:
        """Some leases of one holder, each delivery once."""
        first = pool[numbers[0] % len(pool)]
        pool = [one for one in pool if one.holder == first.holder]
        found = {one.id: one for one in (pool[number % len(pool)] for number in numbers)}
        return list(found.values())

    @precondition(lambda self: self.held())
    @rule(numbers=ids)
    def extend(self, numbers: list[int]) -> None:
        leases = self.chosen(numbers, self.held())
        answer = self.run(self.queue.extend(*leases))
        self.model.look()
        assert answer == [self.model.extend(lease) for lease in leases]

    @precondition(lambda self: self.held())
    @rule(n=picks)
    def begin_with(self, n: int) -> None:
        """With any: those that are not to be alone are not begun so, and it does them no harm."""
        [lease] = self.chosen([n], self.held())
        answer = self.run(self.queue.begin(lease))
        assert answer == [self.model.begin(lease)]

    @rule(holder=st.sampled_from(HOLDERS))
    def begin_with_none(self, holder: str) -> None:
        assert self.run(self.queue.begin(None, holder)) == ["none"]
        self.model.suspects.pop(holder, None)

    @precondition(lambda self: self.held())
    @rule(
        numbers=ids,
        verb=st.sampled_from(("later", "later", "hold")),
        wait_ms=st.sampled_from((0, SECOND, 60 * SECOND, HOUR)),
        event=st.sampled_from("fp"),
        tried=st.booleans(),
        twice=st.booleans(),
    )
    def defer(
        self, numbers: list[int], verb: str, wait_ms: int, event: str, tried: bool, twice: bool
    ) -> None:
        """No recipient is through."""
        leases = self.chosen(numbers, self.held())
        outcome = attempted(["u"], "deferred") if tried else b""
        said: dict[str, Any] = {"verb": verb, "event": event, "wait_ms": wait_ms}
        said["outcome"] = outcome
        none: dict[str, tuple[str, ...]] = {lease.id: () for lease in leases}
        self.say_settle(leases, said, none, tried=tried, twice=twice)

    @precondition(lambda self: self.held())
    @rule(n=picks, event=st.sampled_from("dDbB"), twice=st.booleans())
    def settle(self, n: int, event: str, twice: bool) -> None:
        """All recipients are through."""
        [lease] = self.chosen([n], self.held())
        done = self.left(lease)
        said = {
            "verb": "final", "event": event, "wait_ms": 0, "outcome": attempted(done, "delivered"),
        }  # fmt: skip
        self.say_settle([lease], said, {lease.id: done}, tried=True, twice=twice)

    @precondition(lambda self: any(len(self.left(lease)) > 1 for lease in self.held()))
    @rule(n=picks, event=st.sampled_from("dDbB"), wait_ms=st.sampled_from((0, 60 * SECOND)))
    def settle_partly(self, n: int, event: str, wait_ms: int) -> None:
        """Some recipients are through, the others wait."""
        [lease] = self.chosen([n], [one for one in self.held() if len(self.left(one)) > 1])
        first, *left = self.left(lease)
        one = self.model.all[lease.id]
        chunks = self.model.messages[one.message].chunks
        body = Delivery(
            1, START_MS, one.new.expires_ms, 100, "s@s.example",
            tuple(Recipient(address) for address in left), chunks=chunks,
        )  # fmt: skip
        said = {
            "verb": "later", "event": event, "wait_ms": wait_ms, "slot": "",
            "body": encode_delivery(body), "outcome": attempted([first], "delivered", left),
        }  # fmt: skip
        self.say_settle([lease], said, {lease.id: (first,)}, tried=True, twice=True)

    def say_settle(
        self, leases: list[Held], said: dict[str, Any], done: Any, *, tried: bool, twice: bool
    ) -> None:
        answer = self.run(self.queue.settle(*leases, **said))
        self.model.look()
        for lease, word in zip(leases, answer, strict=True):
            expected = self.model.settle(
                lease, verb=said["verb"], wait_ms=said["wait_ms"], done=done[lease.id],
                report=said["event"].isupper(), doubt=said["event"] == "p", attempted=tried,
            )  # fmt: skip
            assert word in expected, f"{lease}: {word}, not {expected}"
        if twice:
            before = self.run(self.everything())
            assert self.run(self.queue.settle(*leases, **said)) == ["done"] * len(leases)
            self.assert_same(before, "a repeated settle")

    @precondition(lambda self: self.held())
    @rule(numbers=ids, wait_ms=st.sampled_from((0, 60 * SECOND)))
    def release(self, numbers: list[int], wait_ms: int) -> None:
        leases = self.chosen(numbers, self.held())
        answer = self.run(self.queue.release(*leases, wait_ms=wait_ms))
        for lease, word in zip(leases, answer, strict=True):
            expected = self.model.release(lease)
            assert word in expected, f"{lease}: {word}, not {expected}"

    @precondition(lambda self: self.leases)
    @rule(
        n=picks,
        how=st.sampled_from(("old", "another holder", "another fence")),
        verb=st.sampled_from(("final", "later", "hold")),
    )
    def come_too_late(self, n: int, how: str, verb: str) -> None:
        """A holder that lost its lease, or one that never had it, changes nothing."""
        # Such as somebody holds now, where there are any: they are what could go wrong.
        taken = [one for one in self.leases if self.model.all[one.id].place is Place.LEASED]
        pool = [one for one in taken if how != "old" or not self.model.holds(one)]
        stale = (pool or self.leases)[n % len(pool or self.leases)]
        if how == "another holder":
            stale = Held(stale.id, stale.fence, "w0")
        elif how == "another fence":
            stale = Held(stale.id, stale.fence + 1 - 2 * (n % 2), stale.holder)
        if self.model.holds(stale):
            return
        before = self.run(self.everything())
        assert self.run(self.queue.extend(stale)) == ["lost"]
        self.model.look()
        assert self.run(self.queue.release(stale))[0] in self.model.release(stale)
        said: dict[str, Any] = {"outcome": attempted(["u"], "delivered"), "event": "D"}
        [word] = self.run(self.queue.settle(stale, verb=verb, **said))
        assert word in ({"done", "lost"} if stale in self.model.settled else {"lost"})
        self.assert_same(before, f"{stale}, {how},")


def _by_id(lease: Held) -> str:
    return lease.id
