"""How much memory and disk the store's primaries use, and may use, as they say of themselves."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from relay.errors import StoreUnavailable
from relay.store.client import StoreClient


class Memory(Struct, frozen=True, kw_only=True):
    """What one primary says of itself."""

    #: Octets used, and at most (0: no limit).
    used: int = 0
    most: int = 0
    #: The last write to the append-only file, and its last rewriting, went well.
    writes: bool = True
    #: Octets of the append-only file.
    file: int = 0

    @property
    def share(self) -> float:
        """Of what may be used; 0 where there is no limit."""
        return self.used / self.most if self.most else 0.0


async def memory(client: StoreClient) -> tuple[int, int]:
    """Octets used, and at most (0: no limit); of several primaries that of the fullest.

    Raises StoreUnavailable.
    """
    found = fullest([_of(info) for info in await client.every("INFO", "memory")])
    return found.used, found.most


async def memories(client: StoreClient) -> dict[str, Memory | None]:
    """What each primary says, by its name; None of one that does not answer.

    Raises StoreUnavailable where none does.
    """
    parts = [await client.each("INFO", section) for section in ("memory", "persistence")]
    return {name: _whole([part.get(name) for part in parts]) for name in parts[0]}


def fullest(every: list[Memory]) -> Memory:
    """The one with the least room, relative to its limit."""
    return max(every, key=lambda one: (one.share, one.used))


def _whole(answers: list[bytes | StoreUnavailable | None]) -> Memory | None:
    texts = [answer for answer in answers if isinstance(answer, bytes)]
    return _of(b"\n".join(texts)) if len(texts) == len(answers) else None


def _of(info: bytes) -> Memory:
    fields = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
    return Memory(
        used=int(fields.get(b"used_memory", 0)),
        most=int(fields.get(b"maxmemory", 0)),
        writes=_well(fields),
        file=int(fields.get(b"aof_current_size", 0)),
    )


def _well(fields: Mapping[bytes, bytes]) -> bool:
    states = (fields.get(b"aof_last_write_status"), fields.get(b"aof_last_bgrewrite_status"))
    return all(state in (b"ok", None) for state in states)
