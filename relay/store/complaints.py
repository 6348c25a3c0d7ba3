"""Complaints about messages: noted in the partition of the message, for as long as is said here.

They come days after a message was sent, when its record may be gone: they have a key of their own.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from msgspec import Struct

from relay.errors import DamagedRecord
from relay.mail.ids import partition_of
from relay.store.client import StoreClient
from relay.store.codec import decode_record
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.script import script

COMPLAIN = script("complain")

#: How long complaints about a message are remembered after the last one: a repeat is known by that.
REMEMBERED_MS = 3 * 24 * 3600 * 1000
#: Recipients whose complaints about one message are noted at most.
MOST = 1000
_TIME = 13


class Complaint(Struct, frozen=True):
    """Who complained about a message, and when it was noted, a Unix time in ms."""

    #: By which events know it.
    number: int
    tenant: str
    #: "" where that was not told.
    recipient: str
    kind: str
    at_ms: int


class Noted(NamedTuple):
    """The script's word: noted, repeated or full; and the complaint's number."""

    word: str
    number: int


class Complaints:
    """Every call raises StoreUnavailable."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    def is_ours(self, message: str) -> bool:
        """Whether it lies in a partition that there is."""
        return partition_of(message) < self._partitions

    async def tenant_of(self, message: str) -> str | None:
        """Whose message it is; None where its record is gone. Raises UnreadableRecord."""
        keys = partition_keys(partition_of(message), self._partitions)
        value = await self._client.read("HGET", keys.record(message), "m")
        return None if value is None else decode_record(value).tenant

    async def note(self, message: str, tenant: str, recipient: str, kind: str) -> Noted:
        """Note one, unless the same recipient complained about the message before."""
        keys = partition_keys(partition_of(message), self._partitions)
        word, number = await self._client.call(
            COMPLAIN,
            [keys.events, keys.complaints(message)],
            [message, tenant, recipient, kind, secrets.token_hex(8), REMEMBERED_MS, MOST],
        )
        return Noted(word.decode(), int(number))

    async def of(self, message: str) -> list[Complaint]:
        """All that are remembered of a message, in their order."""
        keys = partition_keys(partition_of(message), self._partitions)
        flat = await self._client.read("HGETALL", keys.complaints(message))
        fields = {flat[at]: flat[at + 1] for at in range(0, len(flat), 2)}
        tenant = fields.get(b"t", b"").decode()
        numbers = sorted(int(name[1:]) for name in fields if name.startswith(b"#"))
        return [complaint_of(number, tenant, fields[b"#%d" % number]) for number in numbers]


async def complaint_behind(
    client: StoreClient, keys: PartitionKeys, message: str, number: int
) -> Complaint | None:
    """The complaint that an event tells of; None where it is forgotten. Raises DamagedRecord."""
    tenant, value = await client.read("HMGET", keys.complaints(message), "t", f"#{number}")
    return None if value is None else complaint_of(number, (tenant or b"").decode(), value)


def complaint_of(number: int, tenant: str, value: bytes) -> Complaint:
    """A complaint as the script writes it. Raises DamagedRecord."""
    try:
        at_ms = int(value[:_TIME])
        kind, _, recipient = value[_TIME:].decode().partition(" ")
    except ValueError as error:
        raise DamagedRecord(f"a complaint is damaged: {error}") from error
    return Complaint(number, tenant, recipient, kind, at_ms)
