"""What workers say to the queue, and what comes too late."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from relay.mail.delivery import Delivery
from relay.mail.envelope import Recipient
from relay.store.codec import decode_stored, encode_delivery
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

    @rule(
        holder=st.sampled_from(HOLDERS),
        wants=st.lists(
            st.tuples(st.sampled_from(QUEUES), st.sampled_from((1, 2, 50))), min_size=1, max_size=4
        ),
        most=st.sampled_from((1, 2, 50, 50)),
    )
    def lease(self, holder: str, wants: list[tuple[str, int]], most: int) -> None:
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

    def chosen(self, numbers: list[int], *, good: bool) -> list[Held]:
        """Leases of one holder: such as are held, or any there ever were."""
        pool = [one for one in self.leases if not good or self.model.holds(one)]
        if not pool:
            return []
        first = pool[numbers[0] % len(pool)]
        pool = [one for one in pool if one.holder == first.holder]
        found = {one.id: one for one in (pool[number % len(pool)] for number in numbers)}
        return list(found.values())

    @precondition(lambda self: self.leases)
    @rule(numbers=ids, good=st.booleans())
    def extend(self, numbers: list[int], good: bool) -> None:
        if leases := self.chosen(numbers, good=good):
            answer = self.run(self.queue.extend(*leases))
            self.model.look()
            assert answer == [self.model.extend(lease) for lease in leases]

    @precondition(lambda self: self.leases)
    @rule(
        numbers=ids,
        good=st.sampled_from((True, True, True, False)),
        verb=st.sampled_from(("final", "final", "later", "hold")),
        wait_ms=st.sampled_from((0, SECOND, 60 * SECOND, HOUR)),
        event=st.sampled_from("dDbfp"),
        tried=st.booleans(),
        twice=st.booleans(),
    )
    def settle(
        self, numbers: list[int], good: bool, verb: str, wait_ms: int, event: str, tried: bool,
        twice: bool,
    ) -> None:  # fmt: skip
        leases = self.chosen(numbers, good=good)
        if not leases:
            return
        if verb != "final":
            event = "f" if event in "dDb" else event
        done = {lease.id: self.left(lease) if verb == "final" else () for lease in leases}
        tried = tried or verb == "final"
        outcome = attempted(["u"], "delivered" if verb == "final" else "deferred")
        if verb == "final":
            # One by one, as each has recipients of its own.
            leases = leases[:1]
            outcome = attempted(done[leases[0].id], "delivered")
        said: dict[str, Any] = {"verb": verb, "event": event, "wait_ms": wait_ms}
        said["outcome"] = outcome if tried else b""
        self.say_settle(leases, said, done, tried=tried, twice=twice)

    @precondition(lambda self: self.leases)
    @rule(n=picks, event=st.sampled_from("dDbB"), wait_ms=st.sampled_from((0, 60 * SECOND)))
    def settle_partly(self, n: int, event: str, wait_ms: int) -> None:
        """Some recipients are through, the others wait."""
        leases = [
            lease for lease in self.leases if self.model.holds(lease) and len(self.left(lease)) > 1
        ]
        if not leases:
            return
        lease = leases[n % len(leases)]
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
        held = [lease for lease in leases if self.model.holds(lease)]
        before = self.run(self.everything()) if not held else None
        answer = self.run(self.queue.settle(*leases, **said))
        self.model.look()
        for lease, word in zip(leases, answer, strict=True):
            expected = self.model.settle(
                lease, verb=said["verb"], wait_ms=said["wait_ms"], done=done[lease.id],
                report=said["event"].isupper(), doubt=said["event"] == "p", attempted=tried,
            )  # fmt: skip
            assert word in expected, f"{lease}: {word}, not {expected}"
        if before is not None:
            self.assert_same(before, "a stale holder")
        if twice and held:
            before = self.run(self.everything())
            again = self.run(self.queue.settle(*held, **said))
            assert again == ["done"] * len(held)
            self.assert_same(before, "a repeated settle")

    @precondition(lambda self: self.leases)
    @rule(numbers=ids, good=st.booleans(), wait_ms=st.sampled_from((0, 60 * SECOND)))
    def release(self, numbers: list[int], good: bool, wait_ms: int) -> None:
        if leases := self.chosen(numbers, good=good):
            held = [lease for lease in leases if self.model.holds(lease)]
            before = self.run(self.everything()) if not held else None
            answer = self.run(self.queue.release(*leases, wait_ms=wait_ms))
            for lease, word in zip(leases, answer, strict=True):
                expected = self.model.release(lease)
                assert word in expected, f"{lease}: {word}, not {expected}"
            if before is not None:
                self.assert_same(before, "a stale holder")


def _by_id(lease: Held) -> str:
    return lease.id
