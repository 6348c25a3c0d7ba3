"""What waits, by domain: counted over all deliveries in the store."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from relay.console.records import moment
from relay.console.views import QueueView
from relay.store.codec import Place, decode_stored

_COUNTS = {
    Place.LATER: "deferred",
    Place.READY: "waiting",
    Place.LEASED: "leased",
    Place.HELD: "held",
}


class Tally(Struct):
    """The deliveries of one queue, counted; times are Unix times in milliseconds."""

    domain: str
    waiting: int = 0
    leased: int = 0
    deferred: int = 0
    held: int = 0
    oldest_ms: int = 0
    next_ms: float = 0
    #: The delivery that was accepted first: its last reply stands for the queue's.
    oldest: str = ""
    parked_ms: int = 0
    last_reply: str = ""

    @property
    def deliveries(self) -> int:
        """All of them."""
        return self.waiting + self.leased + self.deferred + self.held

    def view(self, now_ms: float) -> QueueView:
        """What an operator sees."""
        return QueueView(
            domain=self.domain,
            waiting=self.waiting,
            leased=self.leased,
            deferred=self.deferred,
            held=self.held,
            oldest_age_s=max(0.0, round((now_ms - self.oldest_ms) / 1000, 1)),
            next_attempt_at=moment(self.next_ms) if self.next_ms else None,
            last_reply=self.last_reply,
            parked_until=moment(self.parked_ms) if self.parked_ms > now_ms else None,
        )


def count(tallies: dict[str, Tally], deliveries: Iterable[tuple[bytes, bytes]]) -> None:
    """Add deliveries, as the hash `deliveries` has them, to the tallies."""
    for id_, value in deliveries:
        stored = decode_stored(value)
        name = _COUNTS.get(stored.place)
        if name is None:
            continue
        tally = tallies.setdefault(stored.queue, Tally(stored.queue))
        setattr(tally, name, getattr(tally, name) + 1)
        accepted_ms = stored.delivery.accepted_ms
        if not tally.oldest_ms or accepted_ms < tally.oldest_ms:
            tally.oldest_ms, tally.oldest = accepted_ms, id_.decode()
        if stored.place is Place.LATER and (not tally.next_ms or stored.ms < tally.next_ms):
            tally.next_ms = stored.ms


def note_reason(tally: Tally, reason: bytes) -> None:
    """A value of the hash `reasons`: until when the queue is parked, and the site's last reply."""
    until, _, reply = reason.decode("utf-8", "replace").partition(" ")
    tally.parked_ms, tally.last_reply = int(until), reply
