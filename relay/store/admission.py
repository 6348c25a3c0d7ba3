"""The acceptance of messages in the store: one script for most, parts and chunks for large ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct

from relay.store.index import NOTHING, Index
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.script import Text, script
from relay.store.spread import Accepting

ADMIT = script("admit")

#: Deliveries in one call of the script at most, and what they are found by.
MOST_DELIVERIES, MOST_TERMS = 50, 500


class AdmissionOptions(Struct, frozen=True):
    """How messages are admitted. Times in milliseconds."""

    #: How long an idempotency key stands for its message.
    idempotency_ms: int = 24 * 3600 * 1000
    #: When the pump rings a queue whose wake-up was lost.
    deadline_ms: int = 10_000
    #: How long chunks wait for the message that they belong to.
    chunk_ms: int = 3600 * 1000
    #: By what messages are to be found.
    index: Index = NOTHING


class NewDelivery(Struct, frozen=True):
    """A delivery as it is admitted. Times are Unix times; 0 for at once, and by the settings."""

    queue: str
    lane: str
    cost: int
    flags: int
    due_ms: int
    expires_ms: int
    body: bytes
    #: What it is found by (`relay.store.index`).
    terms: tuple[str, ...] = ()
    #: When its sender is to be told that it is late; 0: never.
    late_ms: int = 0


class NewMessage(Struct, frozen=True):
    """A message as it is admitted; no idempotency key: `digest` and `fingerprint` are empty."""

    partition: int
    id: str
    digest: str
    fingerprint: str
    record: bytes
    #: In one piece, or in chunks.
    content: tuple[bytes, ...]
    deliveries: Sequence[NewDelivery]
    #: Refused where its tenant has more than its share already.
    limited: bool = True


class Admission:
    """Says `admit` for messages of all partitions."""

    def __init__(
        self,
        client: Accepting,
        partitions: int,
        options: AdmissionOptions,
        share: Callable[[], int] = lambda: 0,
    ) -> None:
        """`share`: octets that one tenant's messages may take up in a partition; 0: any."""
        self._share = share
        self._client = client
        self._partitions = partitions
        self._options = options

    @property
    def index(self) -> Index:
        """By what messages are to be found."""
        return self._options.index

    def reachable(self, partition: int) -> bool:
        """Whether the partition answers, as far as is known."""
        return self._client.reachable(partition_keys(partition, self._partitions).deliveries)

    def is_small(self, message: NewMessage) -> bool:
        """Whether one call is enough, so that `admit` does."""
        return len(message.content) == 1 and len(_parts(message.deliveries)) == 1

    def admit(self, message: NewMessage) -> asyncio.Future[list[bytes]]:
        """Admit a small message; the answer is the script's (scripts/admit.lua)."""
        return self._say(message, message.deliveries, first=0, part="all")

    async def admit_large(self, message: NewMessage) -> list[bytes]:
        """Admit a message in chunks and in parts; the answer is that of the last part."""
        if len(message.content) > 1:
            await self._store_chunks(message)
        answer = await self._say_parts(message)
        if answer[0] == b"share" and len(message.content) > 1:
            # It is told that there is no room: what it left must not take any.
            keys = partition_keys(message.partition, self._partitions)
            await self._client.read("UNLINK", *keys.contents(message.id, len(message.content)))
        return answer

    async def _say_parts(self, message: NewMessage) -> list[bytes]:
        *early, last = _parts(message.deliveries)
        first = 0
        for part in early:
            answer = await self._say(message, part, first=first, part="staged")
            if answer[0] != b"staged":
                return answer
            first += len(part)
        return await self._say(message, last, first=first, part="last" if early else "all")

    async def _store_chunks(self, message: NewMessage) -> None:
        keys = partition_keys(message.partition, self._partitions)
        names = keys.contents(message.id, len(message.content))
        for name, chunk in zip(names, message.content, strict=True):
            await self._client.read("SET", name, chunk, "PX", self._options.chunk_ms)

    def _say(
        self, message: NewMessage, deliveries: Sequence[NewDelivery], *, first: int, part: str
    ) -> asyncio.Future[list[bytes]]:
        keys = partition_keys(message.partition, self._partitions)
        chunks = len(message.content) if len(message.content) > 1 else 0
        terms = _terms(deliveries)
        args: list[Text] = [
            message.id,
            message.fingerprint,
            self._options.idempotency_ms,
            self._options.deadline_ms,
            message.record,
            b"" if chunks or part == "staged" else message.content[0],
            chunks,
            len(message.deliveries),
            first,
            part,
            self._share() if message.limited else 0,
            terms,
        ]
        for new in deliveries:
            args += (
                new.queue,
                new.lane,
                new.cost,
                new.flags,
                new.due_ms,
                f"{new.expires_ms}+{new.late_ms}" if new.late_ms else new.expires_ms,
                new.body,
            )
        names = _admit_keys(keys, message, chunks)
        if deliveries[0].late_ms or (len(deliveries) > 1 and any(n.late_ms for n in deliveries)):
            names.append(keys.late)
        if terms:
            names.append(keys.index)
        return self._client.call(ADMIT, names, args, confirmed=part != "staged")


def _admit_keys(keys: PartitionKeys, message: NewMessage, chunks: int) -> list[Text]:
    record = keys.record(message.id)
    return [
        *keys.of(ADMIT),
        record,
        keys.idempotency(message.digest) if message.digest else record,
        *keys.contents(message.id, chunks),
    ]


def _terms(deliveries: Sequence[NewDelivery]) -> str:
    """Those of each delivery, as the script takes them."""
    if not any(new.terms for new in deliveries):
        return ""
    return " ".join("".join(new.terms) for new in deliveries)


def _parts(deliveries: Sequence[NewDelivery]) -> list[Sequence[NewDelivery]]:
    """The deliveries of each call."""
    if len(deliveries) == 1:
        return [deliveries]
    parts: list[Sequence[NewDelivery]] = []
    first = terms = 0
    for at, new in enumerate(deliveries):
        terms += len(new.terms)
        if at > first and (at - first == MOST_DELIVERIES or terms > MOST_TERMS):
            parts.append(deliveries[first:at])
            first, terms = at, len(new.terms)
    return [*parts, deliveries[first:]]
