"""What operators and who writes DSNs say to the queue."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from relay.store.codec import Place
from tests.support.modelled.base import (
    QUEUES,
    SECOND,
    TENANTS,
    Modelled,
    ids,
    picks,
)

NAMES = (*(f"q:{queue}" for queue in QUEUES), *(f"t:{tenant}" for tenant in TENANTS))

#: What operators ask of a delivery; a number is to reschedule it, in so many seconds.
ASKED: tuple[str | int, ...] = ("cancel", "bounce", "hold", "unhold", 0, 30, 7200, 777_600)


class Operators(Modelled):
    """Deliveries, queues and tenants held and let go on; claims closed."""

    @precondition(lambda self: self.model.all)
    @rule(numbers=ids, what=st.sampled_from(ASKED))
    def ask(self, numbers: list[int], what: str | int) -> None:
        """Of any deliveries."""
        self.say(self.some(numbers, list(self.model.all)), what)

    @precondition(lambda self: self.model.at(Place.LEASED))
    @rule(numbers=ids, what=st.sampled_from(ASKED))
    def ask_of_leased(self, numbers: list[int], what: str | int) -> None:
        """Of such as are being attempted."""
        self.say(self.some(numbers, [one.id for one in self.model.at(Place.LEASED)]), what)

    @precondition(lambda self: self.model.at(Place.HELD))
    @rule(numbers=ids)
    def unhold(self, numbers: list[int]) -> None:
        self.say(self.some(numbers, [one.id for one in self.model.at(Place.HELD)]), "unhold")

    def say(self, chosen: list[str], what: str | int) -> None:
        """Cancel, bounce, hold, unhold, or reschedule in so many seconds."""
        if isinstance(what, int):
            due_ms = self.model.now + what * SECOND if what else 0
            words, _ = self.run(self.queue.reschedule(*chosen, due_ms=due_ms))
            assert words == [self.model.reschedule(id_, due_ms) for id_ in chosen]
            return
        answer = self.run(getattr(self.queue, what)(*chosen))
        words = answer[0] if what == "unhold" else answer
        assert words == [getattr(self.model, what)(id_) for id_ in chosen]

    @rule(name=st.sampled_from(NAMES), on=st.booleans(), limit=st.sampled_from((1, 50)))
    def hold_or_let_go(self, name: str, on: bool, limit: int) -> None:
        """A queue or a tenant as a whole; one goes on in one step, or in several ones of which some
        are still to come."""
        kind, rest = name.split(":")
        held = self.model.held_queues if kind == "q" else self.model.held_tenants
        if on:
            self.run(self.queue.pause(name))
            held.add(rest)
            word = ""
        else:
            word, *_ = self.run(self.queue.resume(name, limit=limit))
            held.discard(rest)
        if kind == "t":
            self.model.going_on.discard(rest)
            self.model.going_on |= {rest} if word == "more" else set()

    def claims(self) -> list[tuple[str, int]]:
        return [claim for one in self.model.messages.values() for claim in sorted(one.claims)]

    @precondition(lambda self: self.claims())
    @rule(n=picks)
    def close(self, n: int) -> None:
        claim = self.claims()[n % len(self.claims())]
        assert self.run(self.queue.close(claim)) == [self.model.close(*claim)]
        assert self.run(self.queue.close(claim)) == ["done"]
