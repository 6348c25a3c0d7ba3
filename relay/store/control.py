"""What operators ask of messages, queues and tenants: cancel, reschedule, hold, and let go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from relay.errors import NoSuchMessage, UnreadableRecord
from relay.mail.ids import delivery_id, partition_of
from relay.policy.needs import domain_of, queues_of
from relay.store.client import StoreClient
from relay.store.codec import decode_record, decode_stored
from relay.store.keys import PartitionKeys, partition_keys, reference
from relay.store.script import Script, Text, script

CANCEL, BOUNCE, RESCHEDULE = script("cancel"), script("bounce"), script("reschedule")
HOLD, UNHOLD = script("hold"), script("unhold")
PAUSE, RESUME = script("pause"), script("resume")

#: Deliveries, lanes and keys in one call at most.
_MOST = 50
_MOST_KEYS = 1000


class ControlOptions(Struct, frozen=True):
    """Times in milliseconds."""

    #: When the pump rings a queue that goes on, 0: at its next step, for callers that cannot ring.
    deadline_ms: int = 0
    #: How old a delivery may get: none is put off any longer.
    longest_ms: int = 5 * 24 * 3600 * 1000
    #: How long a closed record is kept.
    retention_ms: int = 24 * 3600 * 1000


class Answer(NamedTuple):
    """What was done about one delivery: a word of the script's (scripts/cancel.lua and so on)."""

    delivery: str
    word: str


class Paused(Struct, frozen=True):
    """A queue or tenant that is held as a whole."""

    #: "queue" or "tenant".
    kind: str
    name: str
    #: By the store's clock.
    since_ms: int
    why: str
    #: Its lanes are being given back: `go_on` finishes that where whoever began it died.
    going_on: bool


def _nobody(queues: Sequence[str]) -> None:
    """Nobody is rung: the pump does it."""


class Control:
    """Asks it in all partitions. `ring` gets references of queues that can go on now.

    Every call may be repeated, and raises StoreUnavailable; those about a message NoSuchMessage.
    """

    def __init__(
        self,
        client: StoreClient,
        partitions: int,
        options: ControlOptions | None = None,
        ring: Callable[[Sequence[str]], None] = _nobody,
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._options = options or ControlOptions()
        self._ring = ring

    async def cancel(self, message: str) -> list[Answer]:
        """End all deliveries; `pending` are those under way, which end if they are not sent now."""
        keys, names = await self._deliveries(message)
        chunks = await self._chunks(keys, names)
        contents = keys.contents(message, chunks)
        answers: list[Answer] = []
        step = max(1, min(_MOST, _MOST_KEYS // (1 + len(contents))))
        for batch in _batches(names, step):
            args: list[Text] = [self._options.retention_ms]
            for name in batch:
                args += (name, len(contents))
            records = [keys.record(message), *contents] * len(batch)
            words = await self._client.call(CANCEL, [*keys.of(CANCEL), *records], args)
            answers += _answers(batch, words)
        return answers

    async def withdraw(self, message: str) -> int:
        """Cancel a message; how many of its deliveries may be sent all the same, or were."""
        return sum(answer.word != "cancelled" for answer in await self.cancel(message))

    async def reschedule(self, message: str, due_ms: int = 0) -> list[Answer]:
        """Attempt all deliveries next at `due_ms`, a Unix time, or now; no later than they expire.

        `held` and `cancelling` ones are left as they are.
        """
        options = self._options
        first = (options.deadline_ms, options.longest_ms, due_ms)
        return await self._move(RESCHEDULE, message, first)

    async def hold(self, message: str) -> list[Answer]:
        """Set all deliveries aside; `pending` are those under way."""
        keys, names = await self._deliveries(message)
        answers: list[Answer] = []
        for batch in _batches(names, _MOST):
            words = await self._client.call(
                HOLD, [*keys.of(HOLD), *[keys.record(message)] * len(batch)], batch
            )
            answers += _answers(batch, words)
        return answers

    async def unhold(self, message: str) -> list[Answer]:
        """Let all deliveries go on, those under way included."""
        return await self._move(UNHOLD, message, (self._options.deadline_ms,))

    async def hold_queue(self, queue: str, why: str = "") -> None:
        """Lease nothing of a domain's queues any more, in any partition; what is leased goes on."""
        for name in queues_of(queue):
            await self._pause(f"q:{name}", why)

    async def unhold_queue(self, queue: str) -> None:
        """Let a domain's queues go on."""
        for name in queues_of(queue):
            await self._resume_everywhere(f"q:{name}")

    async def hold_tenant(self, tenant: str, why: str = "") -> None:
        """Lease nothing of a tenant any more, in any queue; what is leased goes on."""
        await self._pause(f"t:{tenant}", why)

    async def unhold_tenant(self, tenant: str) -> None:
        """Let a tenant go on. Where this is cut short, `go_on` finishes it."""
        await self._resume_everywhere(f"t:{tenant}")

    async def paused(self) -> list[Paused]:
        """All domains' queues and tenants that are held as a whole."""
        found: dict[str, Paused] = {}
        for partition in range(self._partitions):
            for name, paused in await self._paused_in(partition):
                if name not in found or not paused.going_on:
                    found[name] = paused
        return [one for name, one in found.items() if name == domain_of(name) or one.going_on]

    async def go_on(self) -> None:
        """Finish what was cut short in letting tenants go on; upkeep says it now and then."""
        for partition in range(self._partitions):
            for name, paused in await self._paused_in(partition):
                if paused.going_on:
                    await self._resume(partition, name)

    async def _deliveries(self, message: str) -> tuple[PartitionKeys, list[str]]:
        keys = partition_keys(partition_of(message), self._partitions)
        record = await self._client.read("HGET", keys.record(message), "m")
        if record is None:
            raise NoSuchMessage(f"{message}: no such message, or its record's time is over")
        count = decode_record(record).deliveries
        return keys, [delivery_id(message, number) for number in range(count)]

    async def _chunks(self, keys: PartitionKeys, names: Sequence[str]) -> int:
        """How many chunks the message's content lies in: any delivery that is left says it."""
        for batch in _batches(names, _MOST):
            for value in await self._client.read("HMGET", keys.deliveries, *batch):
                try:
                    if value is not None:
                        return decode_stored(value).chunks
                except UnreadableRecord:
                    continue
        return 0

    async def _move(
        self,
        what: Script,
        message: str,
        first: Sequence[Text],
    ) -> list[Answer]:
        keys, names = await self._deliveries(message)
        answers: list[Answer] = []
        for batch in _batches(names, _MOST):
            records = [keys.record(message)] * len(batch)
            words, queues = await self._client.call(
                what, [*keys.of(what), *records], [*first, *batch]
            )
            answers += _answers(batch, words)
            self._tell(partition_of(message), queues)
        return answers

    async def _pause(self, name: str, why: str) -> None:
        for partition in range(self._partitions):
            keys = partition_keys(partition, self._partitions)
            await self._client.call(PAUSE, [keys.paused, keys.wake], [why, name])

    async def _resume_everywhere(self, name: str) -> None:
        for partition in range(self._partitions):
            await self._resume(partition, name)

    async def _resume(self, partition: int, name: str) -> None:
        keys = partition_keys(partition, self._partitions)
        names = keys.of(RESUME)
        word = b"more"
        while word == b"more":
            args: list[Text] = [name, self._options.deadline_ms, _MOST]
            word, *queues = await self._client.call(RESUME, names, args)
            self._tell(partition, queues)

    async def _paused_in(self, partition: int) -> list[tuple[str, Paused]]:
        keys = partition_keys(partition, self._partitions)
        flat = await self._client.read("HGETALL", keys.paused)
        return [paused_of(flat[at], flat[at + 1]) for at in range(0, len(flat), 2)]

    def _tell(self, partition: int, queues: list[bytes]) -> None:
        if queues:
            self._ring([reference(partition, queue.decode()) for queue in queues])


def _batches(names: Sequence[str], size: int) -> list[Sequence[str]]:
    return [names[at : at + size] for at in range(0, len(names), size)]


def _answers(names: Sequence[str], words: list[Any]) -> list[Answer]:
    return [Answer(name, word.decode()) for name, word in zip(names, words, strict=True)]


def paused_of(name: bytes, value: bytes) -> tuple[str, Paused]:
    """A field of `paused` and its value."""
    text = name.decode()
    kind = "queue" if text.startswith("q:") else "tenant"
    why = value[14:].decode("utf-8", "replace")
    return text, Paused(kind, text[2:], int(value[1:14]), why, value[:1] == b"u")
