"""The scripts of control, said for deliveries of many messages at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.mail.reply import Reply
from relay.store.client import StoreClient
from relay.store.control import (
    BOUNCE,
    CANCEL,
    HOLD,
    RESCHEDULE,
    UNHOLD,
    ControlOptions,
)
from relay.store.keys import PartitionKeys, partition_keys, reference
from relay.store.script import Script, Text
from relay.store.walk import Met

#: Deliveries and keys in one call at most.
_MOST = 50
_MOST_KEYS = 1000


class Bulk:
    """Each call gets deliveries of one partition and answers with a word for each of them, the
    script's. Said twice: the same. `ring` gets references of queues that can go on now."""

    def __init__(
        self,
        client: StoreClient,
        partitions: int,
        options: ControlOptions,
        ring: Callable[[Sequence[str]], None],
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._options = options
        self._ring = ring

    async def hold(self, some: Sequence[Met]) -> list[str]:
        """Set them aside."""
        words: list[str] = []
        for keys, batch in self._batches(some):
            names = [*keys.of(HOLD), *_records(keys, batch)]
            answer = await self._client.call(HOLD, names, [one.id for one in batch])
            words += [word.decode() for word in answer]
        return words

    async def release(self, some: Sequence[Met]) -> list[str]:
        """Let those go on that are held."""
        return await self._move(UNHOLD, some, (self._options.deadline_ms,))

    async def retry(self, some: Sequence[Met]) -> list[str]:
        """Have them attempted now."""
        options = self._options
        first = (options.deadline_ms, options.longest_ms, 0)
        return await self._move(RESCHEDULE, some, first)

    async def cancel(self, some: Sequence[Met]) -> list[str]:
        """End them, as far as no attempt is under way."""
        return await self._end(CANCEL, some, ())

    async def bounce(self, some: Sequence[Met], reply: Reply) -> list[str]:
        """End them as bounced with this reply, as far as no attempt is under way."""
        return await self._end(BOUNCE, some, (str(reply),))

    async def _end(self, what: Script, some: Sequence[Met], first: Sequence[Text]) -> list[str]:
        words: list[str] = []
        for keys, batch in self._batches(some):
            names = keys.of(what)
            args: list[Text] = [self._options.retention_ms, *first]
            for one in batch:
                contents = keys.contents(one.message, one.stored.chunks)
                names += (keys.record(one.message), *contents)
                args += (one.id, len(contents))
            words += [word.decode() for word in await self._client.call(what, names, args)]
        return words

    async def _move(
        self,
        what: Script,
        some: Sequence[Met],
        first: Sequence[Text],
    ) -> list[str]:
        words: list[str] = []
        for keys, batch in self._batches(some):
            answer, queues = await self._client.call(
                what, [*keys.of(what), *_records(keys, batch)], [*first, *(one.id for one in batch)]
            )
            words += [word.decode() for word in answer]
            if queues:
                partition = batch[0].partition
                self._ring([reference(partition, queue.decode()) for queue in queues])
        return words

    def _batches(self, some: Sequence[Met]) -> list[tuple[PartitionKeys, Sequence[Met]]]:
        batches: list[tuple[PartitionKeys, list[Met]]] = []
        size = 0
        for one in some:
            keys = partition_keys(one.partition, self._partitions)
            width = 1 + max(1, one.stored.chunks)
            last = batches[-1] if batches else None
            fits = last is not None and last[0] is keys and len(last[1]) < _MOST
            if last is None or not fits or size + width > _MOST_KEYS:
                batches.append((keys, [one]))
                size = width
            else:
                last[1].append(one)
                size += width
        return [(keys, batch) for keys, batch in batches]


def _records(keys: PartitionKeys, batch: Sequence[Met]) -> list[str]:
    return [keys.record(one.message) for one in batch]
