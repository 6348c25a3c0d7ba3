"""Moving what is queued: into another store, into a file, and back."""

from __future__ import annotations

import asyncio
import gzip
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from msgspec import Struct

from relay import log
from relay.errors import DamagedRecord, RelayError, StoreUnavailable, UnreadableRecord
from relay.store.bulk import Bulk
from relay.store.client import StoreClient
from relay.store.codec import Place
from relay.store.control import ControlOptions
from relay.store.identity import IdentityStore
from relay.store.index import NOTHING, Index
from relay.store.parcel import Packer, Parcel, Unpacker, decode_parcel, encode_parcel
from relay.store.spool import ContentMissing
from relay.store.walk import Met, Walk

_log = log.logger("relay.console")
#: Seconds between two rounds while attempts are under way.
_ROUND = 0.5
#: A file begins with this; then each message behind its length, and in the end a length of none.
_MAGIC = b"relay queue 1\n"
_LENGTH = struct.Struct(">I")
#: Octets of one message in a file at most.
_LONGEST = 1 << 30


class Moved(Struct, frozen=True):
    """What became of the messages that were queued."""

    #: Messages that the other store took.
    moved: int
    #: Those that it had already.
    repeated: int
    #: Messages with an attempt under way to the end of the patience: they stay, and go on.
    under_way: int
    #: Messages that could not be read, or whose content is missing: they stay where they are.
    left: int
    #: Logins and tokens that the other store took as well.
    credentials: int = 0


class Mover:
    """Moves every message of one store into another. Safe to break off and to say again.

    A message is set aside, put into the other store, and then ends here as cancelled, without a
    DSN: at each moment at least one of the two has it, and at most one attempts it.
    """

    def __init__(
        self,
        source: StoreClient,
        partitions: int,
        target: StoreClient,
        target_partitions: int,
        longest_ms: int,
        index: Index = NOTHING,
    ) -> None:
        self._walk = Walk(source, partitions)
        self._bulk = Bulk(source, partitions, ControlOptions(longest_ms=longest_ms), lambda _: None)
        self._packer = Packer(source, partitions, longest_ms)
        self._unpacker = Unpacker(target, target_partitions, index)
        self._credentials = (IdentityStore(source), IdentityStore(target))
        #: Deliveries that were set aside here, not by an operator, and did not go yet.
        self._aside: set[str] = set()
        self._counts = {"moved": 0, "repeated": 0}
        self._left: set[str] = set()

    async def run(self, patience: float) -> Moved:
        """Move all there is; for attempts under way wait `patience` seconds.

        Raises StoreFull, StoreUnavailable; then what was not moved goes on here.
        """
        credentials = await self._move_credentials()
        ends_at = time.monotonic() + patience
        waiting: set[str] = set()
        try:
            while True:
                waiting = await self._round()
                if not waiting or time.monotonic() > ends_at:
                    break
                await asyncio.sleep(_ROUND)
        finally:
            await self._give_back()
        return Moved(
            moved=self._counts["moved"],
            repeated=self._counts["repeated"],
            under_way=len(waiting),
            left=len(self._left),
            credentials=credentials,
        )

    async def _round(self) -> set[str]:
        """Move what can be moved now; the messages with an attempt under way."""
        waiting: set[str] = set()
        async for portion in self._walk.all():
            for message in sorted({one.message for one in portion} - waiting - self._left):
                if not await self._move(message):
                    waiting.add(message)
        return waiting

    async def _move(self, message: str) -> bool:
        """Move a message; False where an attempt is under way."""
        some = await self._deliveries(message)
        held = frozenset(one.id for one in some if one.stored.place is Place.HELD) - self._aside
        self._aside.update(one.id for one in some if one.id not in held)
        words = await self._bulk.hold(some)
        if any(word in ("pending", "cancelling") for word in words):
            return False
        # Nobody changes what is held, so it is read as it stays.
        some = await self._deliveries(message)
        try:
            parcel = await self._packer.pack(some, held)
        except (UnreadableRecord, ContentMissing) as error:
            _log.error("a message stays", id=message, error=str(error) or "content missing")
            self._left.add(message)
            return True
        if parcel is not None and parcel.pieces:
            new = await self._unpacker.put(parcel, int(time.time() * 1000))
            self._counts["moved" if new else "repeated"] += 1
            await self._bulk.cancel(some)
        self._aside.difference_update(one.id for one in some)
        return True

    async def _deliveries(self, message: str) -> list[Met]:
        return [one async for portion in self._walk.of((message,)) for one in portion]

    async def _give_back(self) -> None:
        """Let go on here what was set aside and did not go."""
        messages = {delivery[:20] for delivery in self._aside}
        try:
            async for portion in self._walk.of(messages):
                await self._bulk.release([one for one in portion if one.id in self._aside])
        except StoreUnavailable as error:
            _log.error("set aside and not released", deliveries=len(self._aside), error=str(error))

    async def _move_credentials(self) -> int:
        source, target = self._credentials
        count = 0
        for kind in ("user", "token"):
            for found in await source.all(kind):
                event = {"by": "drain", "action": "moved", "kind": kind}
                event |= {"name": found.credential.name, "tenant": found.credential.tenant}
                event |= {"changes": "{}"}
                if await target.find(kind, found.credential.name) is None:
                    count += await target.change(None, found.credential, event)
        return count


async def export_to(file: Path, source: StoreClient, partitions: int, longest_ms: int) -> Moved:
    """Write every queued message into a new file; the store is not changed.

    Raises FileExistsError, OSError, StoreUnavailable.
    """
    walk, packer = Walk(source, partitions), Packer(source, partitions, longest_ms)
    count, left = 0, 0
    with file.open("xb") as raw, gzip.open(raw, "wb", compresslevel=1) as out:
        out.write(_MAGIC)
        async for portion in walk.all():
            for met in portion:
                some = [one async for part in walk.of((met.message,)) for one in part]
                # Once for each message: where its first delivery is met.
                if not some or met.id != some[0].id:
                    continue
                held = frozenset(one.id for one in some if one.stored.place is Place.HELD)
                try:
                    parcel = await packer.pack(some, held)
                except (UnreadableRecord, ContentMissing) as error:
                    _log.error("a message is left out", id=met.message, error=str(error))
                    left += 1
                    continue
                if parcel is not None and parcel.pieces:
                    value = encode_parcel(parcel)
                    out.write(_LENGTH.pack(len(value)) + value)
                    count += 1
        out.write(_LENGTH.pack(0))
    return Moved(count, 0, 0, left)


async def import_from(
    file: Path, target: StoreClient, partitions: int, index: Index = NOTHING, *, held: bool
) -> Moved:
    """Put every message of a file into a store; it may be said again where it was broken off.

    Raises DamagedRecord where it is no such file or ends too soon, OSError, StoreUnavailable.
    """
    unpacker = Unpacker(target, partitions, index)
    moved = repeated = 0
    try:
        with gzip.open(file, "rb") as packed:
            for parcel in _parcels(cast(BinaryIO, packed)):
                if await unpacker.put(parcel, int(time.time() * 1000), held=held):
                    moved += 1
                else:
                    repeated += 1
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedRecord(f"{file} {error}: {moved + repeated} messages were read") from error
    except RelayError as error:
        _log.error("import broken off", messages=moved + repeated, error=str(error))
        raise
    return Moved(moved, repeated, 0, 0)


def _parcels(packed: BinaryIO) -> Iterator[Parcel]:
    if packed.read(len(_MAGIC)) != _MAGIC:
        raise DamagedRecord("this is no file that relay export wrote")
    while size := _LENGTH.unpack(_exactly(packed, _LENGTH.size))[0]:
        if size > _LONGEST:
            raise DamagedRecord(f"a message of {size} octets: the file is damaged")
        yield decode_parcel(_exactly(packed, size))


def _exactly(packed: BinaryIO, size: int) -> bytes:
    value = packed.read(size)
    if len(value) < size:
        raise EOFError("ends too soon")
    return value
