"""How deliveries, attempts and records are written in the store: a version in each, no pickle.

A delivery's value begins with a header that the scripts read and write (scripts/lib/delivery.lua
has the same layout); the body behind it, like every attempt and record, is MessagePack that only
Python reads.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import TypeVar

import msgspec
from msgspec import Struct

from relay.errors import DamagedRecord, NewerRecord
from relay.mail.delivery import Attempt, Delivery, Record
from relay.mail.reply import Reply, reply_of
from relay.policy.needs import domain_of

#: The version that this code writes where it can; older versions read it.
VERSION = 1
#: The same for deliveries that an older version would not treat as they need; the newest there is.
NEEDFUL = 2
_NEWEST = bytes((VERSION,))

_T = TypeVar("_T", Delivery, Attempt, Record)
_HEADER = struct.Struct(">BBBHBIdHH")
_encoder = msgspec.msgpack.Encoder()
_delivery = msgspec.msgpack.Decoder(Delivery)
_attempt = msgspec.msgpack.Decoder(Attempt)
_record = msgspec.msgpack.Decoder(Record)


class Place(IntEnum):
    """Where a delivery is, as the header says it."""

    LATER = 1
    READY = 2
    LEASED = 3
    HELD = 4
    #: Admitted in part: not accepted yet (scripts/admit.lua).
    STAGED = 5


class Flag(IntFlag):
    """What is to be remembered of a delivery."""

    CANCEL = 1
    HOLD = 2
    #: A lease of it was lost: it is leased by itself from now on.
    ALONE = 4
    #: Its sender wants to hear of failures.
    REPORT = 8
    #: An attempt may have succeeded without being recorded.
    DOUBT = 16
    #: Its next attempt was given another time while it was leased: `ms`.
    MOVED = 32
    #: One that is to be alone was begun with under this lease.
    BEGUN = 64


#: By their numbers in a header: calling an enumeration costs as much as all else about a header.
_PLACES = {place.value: place for place in Place}
_FLAGS = tuple(map(Flag, range(256)))

#: From this suspicion on, a delivery has its process to itself until its attempt has ended.
GRAVE = 3


class Stored(Struct, frozen=True):
    """A delivery's header, and its body still encoded."""

    place: Place
    flags: Flag
    attempts: int
    #: Lost leases since the first one, which made it to be alone.
    losses: int
    #: How much speaks for it being what ends workers (scripts/lib/suspicion.lua).
    suspicion: int
    fence: int
    #: When it became ready or is due; 0 at the head of its lane.
    ms: int
    chunks: int
    holder: str
    queue: str
    lane: str
    body: bytes
    #: What it takes of its lane's turn.
    cost: int = 0

    @property
    def domain(self) -> str:
        """The domain that its queue leads to."""
        return domain_of(self.queue)

    @property
    def delivery(self) -> Delivery:
        """The body decoded."""
        return decode_delivery(self.body)


def decode_stored(value: bytes) -> Stored:
    """A value of the hash `deliveries`. Raises UnreadableRecord."""
    if value[:1] > _NEWEST:
        raise _newer("a delivery", value[0], VERSION)
    try:
        return _decode_stored(value)
    except (struct.error, LookupError, ValueError) as error:
        raise DamagedRecord(f"a delivery's header is damaged: {error}") from error


def _decode_stored(value: bytes) -> Stored:
    _, place, flags, attempts, losses, fence, ms, cost, chunks = _HEADER.unpack_from(value)
    at = _HEADER.size
    texts = []
    for _ in range(3):
        end = at + 1 + value[at]
        texts.append(value[at + 1 : end].decode())
        at = end
    if at > len(value):
        raise ValueError("it is cut off")
    holder, queue, lane = texts
    return Stored(
        _PLACES[place],
        _FLAGS[flags],
        attempts,
        losses % 32,
        losses // 32,
        fence,
        int(ms),
        chunks,
        holder,
        queue,
        lane,
        value[at:],
        cost,
    )


def encode_delivery(delivery: Delivery) -> bytes:
    """The body of a delivery."""
    return _encoder.encode(delivery)


def decode_delivery(body: bytes) -> Delivery:
    """The delivery in a body. Raises UnreadableRecord."""
    return _decoded("a delivery", _delivery, body)


def encode_attempt(attempt: Attempt) -> bytes:
    """An attempt as a record's field holds it."""
    return _encoder.encode(attempt)


def decode_attempt(value: bytes) -> Attempt:
    """The attempt in a record's field. Raises UnreadableRecord."""
    return _decoded("an attempt", _attempt, value)


def encode_record(record: Record) -> bytes:
    """What a record says of the message itself."""
    return _encoder.encode(record)


def decode_record(value: bytes) -> Record:
    """The message's own part of a record. Raises UnreadableRecord."""
    return _decoded("a record", _record, value)


def _decoded(what: str, decoder: msgspec.msgpack.Decoder[_T], value: bytes) -> _T:
    try:
        found = decoder.decode(value)
    except ValueError as error:
        # A newer version may have made other fields of it: then its version alone is read.
        version = _version_of(value)
        if version > NEEDFUL:
            raise _newer(what, version, NEEDFUL) from error
        raise DamagedRecord(f"{what} is damaged: {error}") from error
    if found.version > NEEDFUL:
        raise _newer(what, found.version, NEEDFUL)
    return found


class _Versioned(Struct, array_like=True):
    """What every body begins with, whatever else is in it."""

    version: int


_versioned = msgspec.msgpack.Decoder(_Versioned)


def _version_of(value: bytes) -> int:
    """The version that a body names; 0 where it is none."""
    try:
        return _versioned.decode(value).version
    except ValueError:
        return 0


def _newer(what: str, version: int, most: int) -> NewerRecord:
    return NewerRecord(
        f"{what} was written as version {version}, this Relay reads up to {most}: "
        "it is left to a newer process"
    )


class Ended(Struct, frozen=True):
    """A final outcome in a record: by an attempt, or (`attempt` is None) without one."""

    #: delivered or bounced are in the attempt's results; else expired, cancelled, or bounced by an
    #: operator.
    fate: str
    fence: int
    at_ms: int
    attempt: Attempt | None
    #: The delivery as it was given up; None where an attempt ended it.
    delivery: Delivery | None
    flags: Flag = Flag(0)
    #: What an operator bounced it with.
    reply: Reply | None = None


_GIVEN_UP = {b"x": "expired", b"c": "cancelled", b"r": "bounced"}


def decode_outcome(field: bytes, value: bytes) -> Ended:
    """A record's field `f<n>.<fence>` (scripts/settle.lua, scripts/lib/final.lua).

    Raises UnreadableRecord.
    """
    try:
        fence = int(field[field.index(b".") + 1 :])
        kind = value[:1]
        if kind == b"o":
            attempt = decode_attempt(value[2 + value[1] :])
            return Ended("attempted", fence, attempt.at_ms, attempt, None)
        fate, at_ms = _GIVEN_UP[kind], int(value[1:14])
        reply, body = (None, value[14:]) if kind != b"r" else _said(value[14:])
    except (KeyError, IndexError, ValueError) as error:
        raise DamagedRecord(f"an outcome is damaged: {error!r}") from error
    stored = decode_stored(body)
    return Ended(fate, fence, at_ms, None, stored.delivery, stored.flags, reply)


def _said(value: bytes) -> tuple[Reply, bytes]:
    """A reply behind its length, and what follows."""
    end = 1 + value[0]
    code, _, text = value[1:end].decode().partition(" ")
    return reply_of(int(code), text), value[end:]
