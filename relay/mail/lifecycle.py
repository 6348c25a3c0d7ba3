"""The life of a delivery: its states, what moves it, and the diagram drawn from the same table."""

from __future__ import annotations

from enum import StrEnum

from relay.errors import IllegalTransition


class State(StrEnum):
    """Where a delivery is. The first four are places in the store, the others final."""

    LATER = "later"
    READY = "ready"
    LEASED = "leased"
    HELD = "held"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Nothing moves the delivery any more: its outcome is in the message's record."""
        return self not in TRANSITIONS


class Event(StrEnum):
    """What moves a delivery; each is an edge walked by the script that stands behind it."""

    DUE = "promote: due"
    TOO_OLD = "promote: too old"
    LEASE = "lease"
    DELIVER = "settle: delivered"
    BOUNCE = "settle: bounced"
    DEFER = "settle: deferred"
    EXPIRE = "settle: deferred, too old"
    MISSING = "settle: content missing"
    RETAKE = "retake: the store lost the lease"
    RELEASE = "release"
    RECLAIM = "reclaim"
    POISON = "reclaim: it ends its workers"
    CANCEL = "cancel"
    RETURN = "bounce"
    RESCHEDULE = "reschedule"
    SEND_NOW = "reschedule: now"
    HOLD = "hold"
    UNHOLD = "unhold"
    UNHOLD_EARLY = "unhold: not due yet"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.LATER: {
        Event.DUE: State.READY,
        Event.TOO_OLD: State.EXPIRED,
        Event.CANCEL: State.CANCELLED,
        Event.RETURN: State.BOUNCED,
        Event.RESCHEDULE: State.LATER,
        Event.SEND_NOW: State.READY,
        Event.HOLD: State.HELD,
        Event.RETAKE: State.LEASED,
    },
    State.READY: {
        Event.LEASE: State.LEASED,
        Event.TOO_OLD: State.EXPIRED,
        Event.CANCEL: State.CANCELLED,
        Event.RETURN: State.BOUNCED,
        Event.RESCHEDULE: State.LATER,
        Event.HOLD: State.HELD,
        Event.RETAKE: State.LEASED,
    },
    State.LEASED: {
        Event.DELIVER: State.DELIVERED,
        Event.BOUNCE: State.BOUNCED,
        Event.DEFER: State.LATER,
        Event.EXPIRE: State.EXPIRED,
        Event.MISSING: State.HELD,
        Event.RELEASE: State.READY,
        Event.RECLAIM: State.READY,
        Event.POISON: State.HELD,
        Event.CANCEL: State.CANCELLED,
        Event.RETURN: State.BOUNCED,
        Event.RESCHEDULE: State.LATER,
        Event.HOLD: State.HELD,
    },
    State.HELD: {
        Event.UNHOLD: State.READY,
        Event.UNHOLD_EARLY: State.LATER,
        Event.TOO_OLD: State.EXPIRED,
        Event.CANCEL: State.CANCELLED,
        Event.RETURN: State.BOUNCED,
        Event.RETAKE: State.LEASED,
    },
}


def after(state: State, event: Event) -> State:
    """The state that `event` leads to. Raises IllegalTransition where there is no such edge."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"a delivery that is {state} cannot {event}") from None


def as_mermaid() -> str:
    """The state diagram in Mermaid's language, for docs/architecture.md."""
    lines = [
        "stateDiagram-v2",
        "    [*] --> ready: admit",
        "    [*] --> later: admit, to be sent later",
    ]
    for state, edges in TRANSITIONS.items():
        lines += [f"    {state} --> {target}: {event}" for event, target in edges.items()]
    lines += [f"    {state} --> [*]" for state in State if state.final]
    return "\n".join(lines)
