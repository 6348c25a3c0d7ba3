"""The queue as its scripts' headers tell it, in plain Python: what each call is to answer and do.

What the headers leave open (which lane is served first, which of several due deliveries an early
limit leaves behind) is taken over from the store once it was found to be allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from relay.store.codec import Place
from tests.support.queue import LEASE_MS, LONGEST_MS, RETENTION_MS, New
from tests.support.stored import Held

#: After its expiry a delivery has so long for the last attempt.
SPARE_MS = 60_000
#: So long staged parts wait for the last one, and an idempotency key stands for its message.
STAGED_MS = 60_000
KEY_MS = 3_600_000
MOST_LOSSES = 31
GRAVE, PROVEN = 3, 7


@dataclass
class One:
    """A delivery."""

    id: str
    new: New
    place: Place | None
    accepted_ms: int
    due_ms: int
    left: list[str]
    fence: int = 0
    holder: str = ""
    until: int = 0
    cancel: bool = False
    hold: bool = False
    alone: bool = False
    doubt: bool = False
    moved: bool = False
    attempts: int = 0
    losses: int = 0
    suspicion: int = 0
    begun: bool = False
    #: The reply that an operator asked to bounce it with is noted, for while it is leased.
    reply: bool = False
    #: The word of the operator's that ended it.
    ended: str = ""
    #: Its sender is to hear that it is late.
    told: bool = False

    @property
    def message(self) -> str:
        """The message's id."""
        return self.id[:20]

    @property
    def lane(self) -> tuple[str, str]:
        """Queue and lane."""
        return self.new.queue, self.new.lane

    @property
    def expires_ms(self) -> int:
        """When it expires."""
        return self.new.expires_ms or self.accepted_ms + LONGEST_MS

    def flags(self) -> tuple[bool, ...]:
        """Those that scripts set."""
        return self.cancel, self.hold, self.alone, self.doubt, self.moved, self.begun


@dataclass
class Message:
    """A message: its deliveries are in `Model.all`."""

    id: str
    total: int
    chunks: int
    accepted: bool = False
    claims: set[tuple[str, int]] = field(default_factory=set)
    #: Delivery -> recipients -> how often they have an outcome.
    fates: Counter[tuple[str, str]] = field(default_factory=Counter)
    doubles: int = 0
    lost: int = 0
    #: When its record goes; 0 while anything needs it.
    gone_ms: int = 0
    forgotten: bool = False


class Model:
    """A partition. Each method takes what the script was told and says what it must answer."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.all: dict[str, One] = {}
        self.messages: dict[str, Message] = {}
        #: Idempotency key -> fingerprint, message, until when.
        self.keys: dict[str, tuple[str, str, int]] = {}
        self.held_queues: set[str] = set()
        self.held_tenants: set[str] = set()
        #: Tenants whose lanes are being given back, some in each call.
        self.going_on: set[str] = set()
        self.seen = (0, 0)
        #: Leases that were settled: what says `done` when it is said again.
        self.settled: set[Held] = set()
        #: Holder -> what it has begun with, and when.
        self.suspects: dict[str, tuple[str, int]] = {}
        #: Which of all holders that lost leases one was; and the last one of a delivery's.
        self.deaths: dict[str, int] = {}
        self.last_deaths: dict[str, int] = {}

    def set_now(self, now: int) -> tuple[list[str], list[str]]:
        """Another time: the messages and the idempotency keys that the store forgets for good."""
        self.now = now
        messages = [one.id for one in self.messages.values() if 0 < one.gone_ms < now]
        for message in messages:
            self.messages[message].forgotten = True
        keys = [key for key, (_, _, until) in self.keys.items() if until < now]
        for key in keys:
            del self.keys[key]
        return messages, keys

    def look(self) -> int:
        """Somebody looks at the leases; until when there is grace."""
        last, before = self.seen
        grace = before
        if self.now - last > LEASE_MS / 3 or last > self.now:
            grace = self.now + LEASE_MS
        grace = min(grace, self.now + LEASE_MS)
        if not 0 <= self.now - last < LEASE_MS / 20 or grace != before:
            self.seen = (self.now, grace)
        return grace

    def at(self, *places: Place) -> list[One]:
        """The deliveries there."""
        return [one for one in self.all.values() if one.place in places]

    def known(self, message: str) -> bool:
        """There is a record of it."""
        found = self.messages.get(message)
        return found is not None and found.accepted and not found.forgotten

    # Admitting

    def admit(
        self, message: str, deliveries: Sequence[New], *, key: str, fingerprint: str, chunks: int
    ) -> tuple[str, str]:
        """A message in one part: the word, and the message that it is about."""
        if self.known(message):
            return "repeated", message
        if answer := self._by_key(key, fingerprint):
            return answer
        self.messages[message] = Message(message, len(deliveries), chunks, accepted=True)
        for number, new in enumerate(deliveries):
            place = Place.LATER if new.due_ms > self.now else Place.READY
            self._put(message, number, new, place, max(new.due_ms, self.now))
        self._keep_key(key, fingerprint, message)
        return "accepted", message

    def stage(self, message: str, first: int, deliveries: Sequence[New], total: int) -> None:
        """An early part of a message."""
        self.messages.setdefault(message, Message(message, total, 0))
        for number, new in enumerate(deliveries, first):
            self._put(message, number, new, Place.STAGED, new.due_ms)

    def admit_last(
        self, message: str, deliveries: Sequence[New], *, key: str, fingerprint: str
    ) -> tuple[str, str]:
        """The last part of a message."""
        if self.known(message):
            return "repeated", message
        if answer := self._by_key(key, fingerprint):
            return answer
        found = self.messages[message]
        first = found.total - len(deliveries)
        if any(f"{message}.{number}" not in self.all for number in range(first)):
            return "missing", message
        found.accepted = True
        for number, new in enumerate(deliveries, first):
            place = Place.LATER if new.due_ms > self.now else Place.READY
            self._put(message, number, new, place, max(new.due_ms, self.now))
        self._keep_key(key, fingerprint, message)
        return "accepted", message

    def _by_key(self, key: str, fingerprint: str) -> tuple[str, str] | None:
        if not key or key not in self.keys:
            return None
        known, message, _ = self.keys[key]
        return ("repeated" if known == fingerprint else "conflict"), message

    def _keep_key(self, key: str, fingerprint: str, message: str) -> None:
        if key:
            self.keys[key] = (fingerprint, message, self.now + KEY_MS)

    def _put(self, message: str, number: int, new: New, place: Place, due_ms: int) -> None:
        id_ = f"{message}.{number}"
        self.all[id_] = One(id_, new, place, self.now, due_ms, list(new.recipients))

    # Leases

    def grant(self, holder: str, granted: Iterable[tuple[str, int]]) -> list[Held]:
        """Deliveries were leased, with these fences."""
        leases = []
        for id_, fence in granted:
            one = self.all[id_]
            assert one.place is Place.READY, f"{id_} was leased while {one.place!r}"
            assert fence == one.fence + 1, f"{id_}: fence {fence} after {one.fence}"
            one.place, one.fence, one.holder = Place.LEASED, fence, holder
            one.until = self.now + LEASE_MS
            leases.append(Held(id_, fence, holder))
        return leases

    def holds(self, lease: Held) -> One | None:
        """The delivery, while the lease is good."""
        one = self.all.get(lease.id)
        if one is None or one.place is not Place.LEASED:
            return None
        return one if (one.fence, one.holder) == (lease.fence, lease.holder) else None

    def extend(self, lease: Held) -> str:
        """Its word."""
        one = self.holds(lease)
        if one is None:
            return "lost"
        one.until = self.now + LEASE_MS
        return "cancel" if one.cancel else "hold" if one.hold else "kept"

    def settle(
        self,
        lease: Held,
        *,
        verb: str,
        wait_ms: int,
        done: Sequence[str],
        report: bool,
        doubt: bool,
        attempted: bool,
    ) -> set[str]:
        """The words that are right for it; `done` are recipients that became final."""
        one = self.holds(lease)
        if one is None:
            return {"done", "lost"} if lease in self.settled else {"lost"}
        self.settled.add(lease)
        message = self.messages[one.message]
        self._finals(one, done)
        if report:
            message.claims.add((one.id, one.fence))
        self._note_doubts(one)
        message.doubles += doubt
        message.lost += doubt
        if verb == "final":
            self._end(one)
            return {"settled"}
        one.attempts += verb == "later" and attempted
        one.losses, one.alone, one.suspicion, one.begun = 0, False, 0, False
        moved, one.moved = one.moved, False
        if one.cancel:
            word = "bounced" if one.reply else "cancelled"
            self._give_up(one, ended=word, report=one.reply and bool(one.new.flags))
            return {word}
        if verb == "hold" or one.hold:
            one.place, one.hold = Place.HELD, False
            return {"settled" if verb == "hold" else "held"}
        if self.now >= one.expires_ms:
            self._give_up(one, report=bool(one.new.flags))
            return {"expired"}
        one.place = Place.LATER
        one.due_ms = min(one.due_ms if moved else self.now + wait_ms, one.expires_ms)
        return {"settled"}

    def release(self, lease: Held) -> set[str]:
        """The words that are right for it."""
        one = self.holds(lease)
        if one is None:
            current = self.all.get(lease.id)
            idle = current is not None and current.place is not Place.LEASED
            return {"done", "lost"} if idle else {"lost"}
        return {self._give_back(one)}

    def reclaim(self, limit: int) -> tuple[int, int] | None:
        """How many went back and how many were held; None in the time of grace."""
        grace = self.look()
        ahead = [one for one in self.at(Place.LEASED) if one.until > self.now + LEASE_MS]
        for one in sorted(ahead, key=lambda one: (one.until, one.id))[:limit]:
            one.until = self.now + LEASE_MS
        if grace > self.now:
            return None
        expired = [one for one in self.at(Place.LEASED) if one.until <= self.now]
        held = 0
        for one in sorted(expired, key=lambda one: (one.until, one.id))[:limit]:
            # The record counts no more than that of one delivery; the metric counts all.
            self.messages[one.message].lost += one.losses < MOST_LOSSES
            one.losses = min(one.losses + one.alone, MOST_LOSSES)
            self._suspect(one)
            one.alone = one.doubt = True
            held += self._give_back(one) == "held"
        return min(len(expired), limit) - held, held

    def begin(self, lease: Held) -> str:
        """Its word."""
        one = self.holds(lease)
        if one is None:
            return "lost"
        one.begun = True
        if self.suspects.get(lease.holder, ("", 0))[0] != one.id:
            self.suspects[lease.holder] = one.id, self.now
        return "begun"

    def _suspect(self, one: One) -> None:
        death = self.deaths.setdefault(one.holder, len(self.deaths) + 1)
        if not one.alone or not one.begun:
            return
        named, since = self.suspects.get(one.holder, ("", 0))
        found = named == one.id
        if one.suspicion < GRAVE:
            one.suspicion = min(one.suspicion + (2 if found else 1), GRAVE)
        elif found:
            if one.suspicion == GRAVE or death == self.last_deaths.get(one.id, death) + 1:
                lived_on = one.until - LEASE_MS > since
                one.suspicion = min(one.suspicion + (1 if lived_on else 2), PROVEN)
            self.last_deaths[one.id] = death
        one.hold |= one.suspicion == PROVEN

    def _give_back(self, one: One) -> str:
        due_ms = one.due_ms if one.moved else 0
        one.moved, one.holder, one.due_ms, one.begun = False, "", 0, False
        if one.hold and not one.cancel:
            one.place, one.hold, one.due_ms = Place.HELD, False, due_ms
            return "held"
        if due_ms > self.now:
            one.place, one.due_ms = Place.LATER, due_ms
            return "later"
        one.place = Place.READY
        return "released"

    # What operators ask

    def absent(self, id_: str) -> str:
        """The word for a delivery that is in no place."""
        if not self.known(id_[:20]):
            return "unknown"
        return "cancelled" if self.all[id_].ended == "cancelled" else "final"

    def cancel(self, id_: str) -> str:
        """Its word."""
        one = self.all.get(id_)
        if one is None or one.place is None or not self.known(id_[:20]):
            return self.absent(id_)
        if one.place is Place.LEASED:
            one.cancel, one.moved, one.reply = True, False, False
            return "pending"
        self._give_up(one, ended="cancelled")
        return "cancelled"

    def bounce(self, id_: str) -> str:
        """Its word."""
        one = self.all.get(id_)
        if one is None or one.place is None or not self.known(id_[:20]):
            word = self.absent(id_)
            ended = word != "unknown" and self.all[id_].ended == "bounced"
            return "bounced" if ended else "final" if word == "cancelled" else word
        if one.place is Place.LEASED:
            one.cancel, one.moved, one.reply = True, False, True
            return "pending"
        self._give_up(one, ended="bounced", report=bool(one.new.flags))
        return "bounced"

    def hold(self, id_: str) -> str:
        """Its word."""
        one = self.all.get(id_)
        if one is None or one.place is None or not self.known(id_[:20]):
            return self.absent(id_)
        if one.place is Place.LEASED:
            if one.cancel:
                return "cancelling"
            one.hold = True
            return "pending"
        one.place = Place.HELD
        return "held"

    def unhold(self, id_: str) -> str:
        """Its word."""
        one = self.all.get(id_)
        if one is None or one.place is None or not self.known(id_[:20]):
            return self.absent(id_)
        one.hold = False
        if one.place is Place.HELD:
            self._note_doubts(one)
            one.losses = one.suspicion = 0
            if one.due_ms > self.now:
                one.place = Place.LATER
            else:
                one.place, one.due_ms = Place.READY, self.now
        return "unheld"

    def reschedule(self, id_: str, due_ms: int) -> str:
        """Its word."""
        one = self.all.get(id_)
        if one is None or one.place is None or not self.known(id_[:20]):
            return self.absent(id_)
        if one.place is Place.HELD:
            return "held"
        if one.place is Place.LEASED and one.cancel:
            return "cancelling"
        due_ms = min(due_ms, one.expires_ms)
        if one.place is Place.LEASED:
            one.moved, one.due_ms = True, due_ms
            return "pending"
        if due_ms <= self.now:
            if one.place is not Place.READY:
                one.place, one.due_ms = Place.READY, self.now
            return "ready"
        one.place, one.due_ms = Place.LATER, due_ms
        return "later"

    def close(self, id_: str, fence: int) -> str:
        """Its word."""
        message = self.messages[id_[:20]]
        if not self.known(message.id) or (id_, fence) not in message.claims:
            return "done"
        message.claims.remove((id_, fence))
        self._settle_record(message)
        return "closed"

    # What time does

    def too_old(self, one: One) -> bool:
        """Whether promote is to end it."""
        return one.expires_ms + SPARE_MS <= self.now

    def is_late(self, one: One) -> bool:
        """Whether its sender is to hear of it, and is not yet."""
        there = one.place not in (None, Place.STAGED) and not one.told
        return there and 0 < one.new.late_ms <= self.now

    def told_late(self, one: One) -> None:
        """Promote told its sender that it is late: it must have been right."""
        assert self.is_late(one), f"{one.id} ({one.place!r}) is not late"
        one.told = True
        self.messages[one.message].claims.add((one.id, 0))

    def promoted(self, one: One, place: Place | None, due_ms: int) -> None:
        """Promote moved a delivery there: it must have been right."""
        known = self.known(one.message)
        if place is None and not known:
            assert one.place is Place.STAGED, f"{one.id} was dropped while {one.place!r}"
            del self.all[one.id]
            return
        assert known, f"{one.id} went to {place!r}, and is not accepted"
        if place is None:
            assert self.too_old(one), f"{one.id} expired too early"
            assert one.place is not Place.LEASED, f"{one.id} expired while it was leased"
            self._give_up(one, report=bool(one.new.flags))
            return
        if one.place is Place.STAGED and place is Place.LATER:
            assert one.due_ms > self.now, f"{one.id} waits, and is due"
        else:
            assert place is Place.READY, f"{one.id} was promoted to {place!r}"
            assert one.place in (Place.LATER, Place.STAGED), f"{one.id} from {one.place!r}"
            assert one.due_ms <= self.now, f"{one.id} was promoted too early"
            one.due_ms = self.now
        assert due_ms == one.due_ms, f"{one.id}: due {due_ms}, not {one.due_ms}"
        one.place = place

    # Ends

    def _finals(self, one: One, recipients: Iterable[str]) -> None:
        for recipient in recipients:
            one.left.remove(recipient)
            self.messages[one.message].fates[one.id, recipient] += 1

    def _note_doubts(self, one: One) -> None:
        if one.doubt:
            self.messages[one.message].doubles += 1 + one.losses
        one.doubt = False

    def _give_up(self, one: One, *, ended: str = "", report: bool = False) -> None:
        self._note_doubts(one)
        if report:
            self.messages[one.message].claims.add((one.id, one.fence + 1))
        one.ended = ended
        self._finals(one, list(one.left))
        self._end(one)

    def _end(self, one: One) -> None:
        assert not one.left, f"{one.id} ends, and {one.left} have no outcome"
        one.place = None
        self._settle_record(self.messages[one.message])

    def _settle_record(self, message: Message) -> None:
        if not message.claims and not self.is_open(message):
            message.gone_ms = self.now + RETENTION_MS

    def is_open(self, message: Message) -> bool:
        """A delivery of it is in some place."""
        ids = (f"{message.id}.{number}" for number in range(message.total))
        return any(id_ in self.all and self.all[id_].place is not None for id_ in ids)
