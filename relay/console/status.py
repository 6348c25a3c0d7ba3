"""What operators ask, answered from the store: messages, queues, cancelling."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from relay.config import Settings
from relay.console.queues import Tally, count, note_reason
from relay.console.records import message_view
from relay.console.views import CancelView, MessageView, QueuesView
from relay.errors import NoSuchMessage
from relay.mail.ids import delivery_id, is_message_id, message_of, partition_of
from relay.policy.retention import LONGEST_MS
from relay.store.address import Address
from relay.store.client import ClientOptions, StoreClient
from relay.store.codec import decode_record, decode_stored
from relay.store.keys import PartitionKeys, partition_keys
from relay.store.script import Text, script

_CANCEL = script("cancel")
#: Deliveries read at once.
_BATCH = 1000
#: Deliveries in one call of a script.
_MOST_DELIVERIES = 50
#: Seconds to wait for the store: somebody sits and waits.
_PATIENCE = 5.0


@asynccontextmanager
async def open_console(settings: Settings) -> AsyncIterator[StoreConsole]:
    """The console on the settings' store. Raises StoreUnavailable."""
    client = StoreClient(Address.parse(settings.store.url), ClientOptions(patience=_PATIENCE))
    await client.start()
    try:
        yield StoreConsole(client, settings.store.partitions)
    finally:
        await client.close()


class StoreConsole:
    """See `relay.console.views.Console`."""

    def __init__(self, client: StoreClient, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def message(self, message: str) -> MessageView:
        """The message with that id. Raises NoSuchMessage."""
        keys = self._keys(message)
        fields = await self._record(keys, message)
        ids = [delivery_id(message, n) for n in range(decode_record(fields[b"m"]).deliveries)]
        deliveries = await self._client.read("HMGET", keys.deliveries, *ids)
        return message_view(message, fields, deliveries)

    async def queues(self, *, domain: str = "", limit: int = 100) -> QueuesView:
        """The fullest queues first, or the queue of one domain; looks at every delivery."""
        tallies: dict[str, Tally] = {}
        for partition in range(self._partitions):
            keys = partition_keys(partition, self._partitions)
            async for batch in self._scan(keys):
                count(tallies, batch)
        chosen = [tally for tally in tallies.values() if domain in ("", tally.domain)]
        chosen.sort(key=lambda tally: (-tally.deliveries, tally.domain))
        shown = chosen[:limit]
        for tally in shown:
            await self._explain(tally)
        now_ms = time.time() * 1000
        return QueuesView(
            queues=tuple(tally.view(now_ms) for tally in shown),
            domains=len(tallies),
            waiting=sum(tally.waiting for tally in tallies.values()),
            leased=sum(tally.leased for tally in tallies.values()),
            deferred=sum(tally.deferred for tally in tallies.values()),
            held=sum(tally.held for tally in tallies.values()),
        )

    async def cancel(self, message: str) -> tuple[CancelView, ...]:
        """Stop what is not delivered yet. Raises NoSuchMessage."""
        keys = self._keys(message)
        record = decode_record((await self._record(keys, message))[b"m"])
        ids = [delivery_id(message, n) for n in range(record.deliveries)]
        views: list[CancelView] = []
        for start in range(0, len(ids), _MOST_DELIVERIES):
            views += await self._cancel(keys, message, ids[start : start + _MOST_DELIVERIES])
        return tuple(views)

    async def _cancel(
        self, keys: PartitionKeys, message: str, ids: Sequence[str]
    ) -> list[CancelView]:
        values = await self._client.read("HMGET", keys.deliveries, *ids)
        names: list[Text] = [
            *(keys.deliveries, keys.later, keys.ready, keys.turns, keys.clock, keys.held),
            *(keys.wake, keys.paused, keys.aside, keys.age, keys.expiry, keys.events),
        ]
        arguments: list[Text] = [LONGEST_MS]
        domains = []
        for id_, value in zip(ids, values, strict=True):
            stored = decode_stored(value) if value is not None else None
            contents = keys.contents(message, stored.chunks) if stored else []
            names += [keys.record(message), *contents]
            arguments += [id_, len(contents)]
            domains.append(stored.queue if stored else "")
        answers = await self._client.call(_CANCEL, names, arguments)
        return [
            CancelView(id_, domain, answer.decode())
            for id_, domain, answer in zip(ids, domains, answers, strict=True)
        ]

    async def _explain(self, tally: Tally) -> None:
        """The last reply: that of a parked queue's site, else that of its oldest delivery."""
        message, _ = message_of(tally.oldest)
        keys = self._keys(message)
        reason = await self._client.read("HGET", keys.reasons, tally.domain)
        if reason:
            note_reason(tally, reason)
            return
        view = await self.message(message)
        replies = [
            recipient.last_reply
            for recipient in view.recipients
            if recipient.address.endswith(f"@{tally.domain}")
        ]
        tally.last_reply = next(filter(None, replies), "")

    async def _scan(self, keys: PartitionKeys) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        cursor = b"0"
        while True:
            cursor, flat = await self._client.read(
                "HSCAN", keys.deliveries, cursor, "COUNT", _BATCH
            )
            yield list(zip(flat[::2], flat[1::2], strict=True))
            if cursor == b"0":
                return

    async def _record(self, keys: PartitionKeys, message: str) -> dict[bytes, bytes]:
        flat = await self._client.read("HGETALL", keys.record(message))
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if b"m" not in fields:
            raise NoSuchMessage(f"{message}: no such message, or its record's time is over")
        return fields

    def _keys(self, message: str) -> PartitionKeys:
        if not is_message_id(message) or partition_of(message) >= self._partitions:
            raise NoSuchMessage(f"{message} is no message id of this store")
        return partition_keys(partition_of(message), self._partitions)
