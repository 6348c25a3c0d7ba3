"""A queued message as a whole, taken out of one store and put into another.

It is put under its own id, so putting it again changes nothing; where the other store has fewer
partitions, under one that follows from it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from relay.errors import DamagedRecord, NewerRecord, UnreadableRecord
from relay.mail.delivery import Record
from relay.mail.ids import partition_of, with_partition
from relay.policy.notify import hears_of_lateness
from relay.store.admission import Admission, AdmissionOptions, NewDelivery, NewMessage
from relay.store.bulk import Bulk
from relay.store.client import StoreClient
from relay.store.codec import Flag, Place, decode_delivery, decode_record, encode_record
from relay.store.control import ControlOptions
from relay.store.index import NOTHING, Index
from relay.store.keys import partition_keys
from relay.store.spool import ContentMissing, Spool
from relay.store.walk import Met, Walk

#: The version of parcels that this code writes; it reads this one and older ones.
VERSION = 1
#: What goes along of a delivery's flags: the others are about leases.
_KEPT = Flag.REPORT | Flag.ALONE
#: How long a delivery that is to be held waits for that, in ms: nobody attempts it meanwhile.
_SET_ASIDE_MS = 60_000


class Piece(Struct, frozen=True, array_like=True):
    """One of the message's deliveries that has no outcome. Unix times in ms."""

    queue: str
    lane: str
    cost: int
    flags: int
    #: 0: at once.
    due_ms: int
    expires_ms: int
    held: bool
    body: bytes


class Parcel(Struct, frozen=True, array_like=True):
    """A message with all that is needed to go on with it elsewhere."""

    version: int
    id: str
    record: bytes
    content: tuple[bytes, ...]
    pieces: tuple[Piece, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Parcel).decode
_any = msgspec.msgpack.Decoder().decode


def encode_parcel(parcel: Parcel) -> bytes:
    """As a file has it."""
    return _encode(parcel)


def decode_parcel(value: bytes) -> Parcel:
    """Raises UnreadableRecord."""
    try:
        version = _any(value)[0]
        if version > VERSION:
            raise NewerRecord(f"a message has version {version}, this Relay reads up to {VERSION}")
        return _decode(value)
    except (msgspec.MsgspecError, IndexError, TypeError) as error:
        raise DamagedRecord(f"a message cannot be read: {error}") from error


class Packer:
    """Takes messages out of a store, which is not changed."""

    def __init__(self, client: StoreClient, partitions: int, longest_ms: int) -> None:
        self._client = client
        self._walk = Walk(client, partitions)
        self._spool = Spool(client, partitions)
        self._partitions = partitions
        self._longest_ms = longest_ms

    async def pack(self, some: Sequence[Met], held: frozenset[str]) -> Parcel | None:
        """The message of these deliveries; those in `held` are to be held there too.

        None where nothing is left of it. Raises ContentMissing, UnreadableRecord.
        """
        record = await self._walk.record(some[0]) if some else None
        if record is None:
            return None
        first = some[0]
        chunks = first.stored.chunks
        if chunks:
            spooled = self._spool.chunks(first.partition, first.message, chunks)
            content = tuple([chunk async for chunk in spooled])
        else:
            [whole] = await self._spool.whole(first.partition, [first.message])
            if whole is None:
                raise ContentMissing(first.message)
            content = (whole,)
        pieces = [await self._piece(one, one.id in held) for one in some]
        return Parcel(VERSION, first.message, encode_record(record), content, tuple(pieces))

    async def _piece(self, one: Met, held: bool) -> Piece:
        stored = one.stored
        keys = partition_keys(one.partition, self._partitions)
        own = await self._client.read("ZSCORE", keys.expiry, one.id)
        return Piece(
            stored.queue,
            stored.lane,
            stored.cost,
            int(stored.flags & _KEPT),
            # That of one in ready is when it became so.
            0 if stored.place is Place.READY else stored.ms,
            int(float(own)) if own is not None else one.accepted_ms + self._longest_ms,
            held,
            stored.body,
        )


class Unpacker:
    """Puts messages into a store."""

    def __init__(self, client: StoreClient, partitions: int, index: Index = NOTHING) -> None:
        self._partitions = partitions
        self._index = index
        self._admission = Admission(client, partitions, AdmissionOptions(deadline_ms=0))
        self._walk = Walk(client, partitions)
        self._bulk = Bulk(client, partitions, ControlOptions(), lambda _: None)

    async def put(self, parcel: Parcel, now_ms: int, *, held: bool = False) -> bool:
        """Accept the message, durable when this returns; False where it was there before.

        `held`: all of it is to be held. Raises StoreFull, StoreUnavailable.
        """
        message = with_partition(parcel.id, partition_of(parcel.id) % self._partitions)
        record = decode_record(parcel.record)
        aside = {n for n, piece in enumerate(parcel.pieces) if held or piece.held}
        new = self._new_message(parcel, message, record, aside, now_ms)
        if self._admission.is_small(new):
            word, *_ = await self._admission.admit(new)
        else:
            word, *_ = await self._admission.admit_large(new)
        # Also where it was there before: whoever put it may have died before it was held.
        if aside:
            await self._set_aside(message, aside)
        return bool(word == b"accepted")

    async def _set_aside(self, message: str, aside: set[int]) -> None:
        async for portion in self._walk.of((message,)):
            await self._bulk.hold([one for one in portion if int(one.id[21:]) in aside])

    def _new_message(
        self, parcel: Parcel, message: str, record: Record, aside: set[int], now_ms: int
    ) -> NewMessage:
        count = len(parcel.pieces)
        deliveries = [
            NewDelivery(
                piece.queue,
                piece.lane,
                piece.cost,
                piece.flags,
                max(piece.due_ms, now_ms + _SET_ASIDE_MS) if number in aside else piece.due_ms,
                piece.expires_ms,
                piece.body,
                self._index.terms(record.tags, _addresses(piece)),
                _late_ms(piece, now_ms),
            )
            for number, piece in enumerate(parcel.pieces)
        ]
        return NewMessage(
            partition_of(message),
            message,
            "",
            "",
            encode_record(structs.replace(record, deliveries=count)),
            parcel.content,
            deliveries,
            # It was accepted already.
            limited=False,
        )


def _addresses(piece: Piece) -> list[str]:
    """Its recipients; none of what a newer version wrote: it is queued, and not found by them."""
    try:
        return [one.address for one in decode_delivery(piece.body).recipients]
    except UnreadableRecord:
        return []


def _late_ms(piece: Piece, now_ms: int) -> int:
    """When the sender is to hear that it is late; not again where it should have heard."""
    try:
        delivery = decode_delivery(piece.body)
    except UnreadableRecord:
        return 0
    told = hears_of_lateness(delivery.sender, delivery.recipients)
    due = delivery.by_mode.startswith("N") and delivery.by_ms > now_ms
    return delivery.by_ms if told and due else 0
