"""The queue's scripts said by name, against a real server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from relay.mail.delivery import Attempt, Delivery, Record, Result
from relay.mail.envelope import Recipient
from relay.store.client import StoreClient
from relay.store.codec import Flag, decode_stored, encode_attempt, encode_delivery, encode_record
from relay.store.script import Text, script
from tests.support.stored import Held, StoreReader

LEASE_MS = 30_000
DEADLINE_MS = 10_000
LONGEST_MS = 5 * 24 * 3600 * 1000
RETENTION_MS = 24 * 3600 * 1000
#: Farthest ahead that a delivery is due.
AHEAD_MS = 366 * 24 * 3600 * 1000
MINUTE = 60_000


class New(Struct, frozen=True, kw_only=True):
    """A delivery to be admitted."""

    queue: str = "a.example"
    lane: str = "n"
    cost: int = 10
    flags: Flag = Flag(0)
    due_ms: int = 0
    expires_ms: int = 0
    recipients: tuple[str, ...] = ("u@a.example",)
    #: When its sender is to hear that it is late.
    late_ms: int = 0


def attempt(number: int = 1, *, fate: str = "delivered", recipient: str = "u@a.example") -> bytes:
    """An attempt as a settle says it."""
    code = {"delivered": 250, "deferred": 451, "bounced": 550}[fate]
    result = Result(recipient, fate, code, f"{code // 100}.0.0", "so")
    return encode_attempt(
        Attempt(1, number, 1_800_000_000_000, 20, "mx.a.example", "192.0.2.1", "", (result,))
    )


class QueueStore(StoreReader):
    """One partition of a store, its scripts by name; their answers as text."""

    def __init__(self, client: StoreClient) -> None:
        super().__init__(client)
        self._seq = 0

    def fixed(self, name: str) -> list[Text]:
        """The keys that a script's header numbers, where the partition has one of that name."""
        return self.keys.of(script(name))

    async def run(self, name: str, keys: Sequence[Text], *args: Text) -> Any:
        """A script's answer, as text."""
        return text(await self.client.call(script(name), keys, args))

    async def admit(
        self,
        *deliveries: New,
        message: str = "",
        fingerprint: str = "",
        digest: str = "k",
        content: bytes = b"Subject: x\r\n\r\nhi\r\n",
        chunks: int = 0,
        total: int = 0,
        first: int = 0,
        part: str = "all",
        share: int = 0,
        terms: str = "",
    ) -> list[str]:
        """Say admit; a chunk is stored by `store_chunks` before."""
        message = message or self.new_id()
        deliveries = deliveries or (New(),)
        total = total or len(deliveries)
        self._chunks[message] = chunks
        k = self.keys
        record = k.record(message)
        names = self.fixed("admit")
        names += [record, k.idempotency(digest) if fingerprint else record]
        names += self.contents(message)
        names += [k.late] if any(new.late_ms for new in deliveries) else []
        names += [k.index] if terms else []
        body = encode_record(Record(1, await self.now(), "s@s.example", len(content), total))
        args: list[Text] = [message, fingerprint, 3_600_000, DEADLINE_MS, body]
        args += [b"" if chunks else content, chunks, total, first, part, share, terms]
        for new in deliveries:
            args += _delivery_args(new, chunks)
        return [str(word) for word in await self.run("admit", names, *args)]

    async def admitted(self, *deliveries: New, **options: Any) -> str:
        """Admit a message that must be accepted; its id."""
        word, message, *_ = await self.admit(*deliveries, **options)
        assert word == "accepted", word
        return message

    async def store_chunks(self, message: str, count: int) -> None:
        """The chunks of a message that is to be admitted."""
        for name in self.keys.contents(message, count):
            await self.client.read("SET", name, b"x" * 10, "PX", 3_600_000)

    async def lease_raw(
        self, *wants: tuple[str, int], holder: str = "w1", seq: int = 0, most: int = 50
    ) -> list[Any]:
        """Say lease; `seq` 0 is a new call."""
        if not seq:
            self._seq += 1
            seq = self._seq
        names = self.fixed("lease")
        names.insert(9, self.keys.grant(holder))
        args: list[Text] = [holder, seq, LEASE_MS, DEADLINE_MS, most]
        for queue, count in wants:
            args += (queue, count)
        answer: list[Any] = await self.client.call(script("lease"), names, args)
        return answer

    async def lease(
        self, queue: str = "a.example", count: int = 50, *, holder: str = "w1", seq: int = 0
    ) -> list[Held]:
        """The leases that a call for one queue grants."""
        _, entry = await self.lease_raw((queue, count), holder=holder, seq=seq)
        return [
            Held(entry[at].decode(), decode_stored(entry[at + 1]).fence, holder)
            for at in range(1, len(entry), 2)
        ]

    async def extend(self, *leases: Held, holder: str = "") -> list[str]:
        """What extend says of each lease."""
        args: list[Text] = [holder or leases[0].holder, LEASE_MS]
        for lease in leases:
            args += (lease.id, lease.fence)
        _, *answers = await self._words("extend", self.fixed("extend"), args)
        return answers

    async def begin(self, lease: Held | None, holder: str = "w1") -> list[str]:
        """Begin with a delivery that is to be alone, or with none."""
        args: list[Text] = [holder, "", 0]
        if lease is not None:
            args = [lease.holder, lease.id, lease.fence]
        return await self._words("begin", self.fixed("begin"), args)

    async def settle(
        self,
        *leases: Held,
        verb: str = "final",
        event: str = "",
        wait_ms: int = MINUTE,
        body: bytes = b"",
        slot: str | None = None,
        outcome: bytes | None = None,
        retention_ms: int = RETENTION_MS,
    ) -> list[str]:
        """Settle leases of one holder alike: delivered (final), deferred (later) or held."""
        names = self.fixed("settle")
        args: list[Text] = [leases[0].holder, LEASE_MS, LONGEST_MS, retention_ms]
        slot = slot if slot is not None else "" if verb == "final" else "0"
        fate = "delivered" if verb == "final" else "deferred"
        for lease in leases:
            contents = self.contents(lease.message)
            names += [self.keys.record(lease.message), *contents]
            args += [lease.id, lease.fence, verb, wait_ms, body, slot]
            args += [
                attempt(fate=fate) if outcome is None else outcome,
                event or ("d" if verb == "final" else "f"),
                len(contents),
            ]
        return await self._words("settle", names, args)

    async def release(self, *leases: Held, wait_ms: int = 0) -> list[str]:
        """Give leases back without an attempt."""
        names = self.fixed("release")
        args: list[Text] = [leases[0].holder, wait_ms]
        for lease in leases:
            args += (lease.id, lease.fence)
        return await self._words("release", names, args)

    async def reclaim(self, limit: int = 50) -> list[Any]:
        """Take back what expired."""
        names = self.fixed("reclaim")
        answer: list[Any] = await self.run("reclaim", names, LEASE_MS, limit)
        return answer

    async def promote(self, *candidates: str, limit: int = 50) -> list[Any]:
        """What time does; `candidates` are deliveries that an earlier answer named."""
        names = self.fixed("promote")
        args: list[Text] = [limit, DEADLINE_MS, LONGEST_MS, AHEAD_MS, RETENTION_MS]
        for delivery in candidates:
            contents = self.contents(delivery[:20])
            names += [self.keys.record(delivery[:20]), *contents]
            args += [delivery, len(contents)]
        answer: list[Any] = await self.run("promote", names, *args)
        return answer

    async def promote_all(self) -> list[Any]:
        """Promote, and again with what the answer named."""
        first = await self.promote()
        return await self.promote(*first[3]) if first[3] else first

    async def ring(self, limit: int = 50, longest_ms: int = 3_600_000) -> list[Any]:
        """Which queues are to be rung now."""
        answer: list[Any] = await self.run(
            "ring", self.fixed("ring"), limit, DEADLINE_MS, longest_ms
        )
        return answer

    async def park(self, *queues: str, wait_ms: int = MINUTE, why: str = "") -> list[Any]:
        """Put queues off."""
        args: list[Text] = []
        for queue in queues:
            args += (queue, wait_ms, why)
        answer: list[Any] = await self.run("park", self.fixed("park"), *args)
        return answer

    async def cancel(self, *deliveries: str) -> list[str]:
        """Cancel deliveries."""
        return await self._end("cancel", deliveries, RETENTION_MS)

    async def bounce(self, *deliveries: str, reply: str = "550 5.7.1 no") -> list[str]:
        """Bounce deliveries as an operator does."""
        return await self._end("bounce", deliveries, RETENTION_MS, reply)

    async def _end(self, name: str, deliveries: Sequence[str], *first: Text) -> list[str]:
        names, args = self.fixed(name), list(first)
        for delivery in deliveries:
            contents = self.contents(delivery[:20])
            names += [self.keys.record(delivery[:20]), *contents]
            args += [delivery, len(contents)]
        return await self._words(name, names, args)

    async def hold(self, *deliveries: str) -> list[str]:
        """Hold deliveries."""
        names = self.fixed("hold")
        names += [self.keys.record(delivery[:20]) for delivery in deliveries]
        return await self._words("hold", names, list(deliveries))

    async def unhold(self, *deliveries: str) -> list[list[str]]:
        """Let held deliveries go on."""
        names = self.fixed("unhold")
        names += [self.keys.record(delivery[:20]) for delivery in deliveries]
        answer: list[list[str]] = await self.run("unhold", names, DEADLINE_MS, *deliveries)
        return answer

    async def reschedule(self, *deliveries: str, due_ms: int = 0) -> list[list[str]]:
        """Give deliveries another time."""
        names = self.fixed("reschedule")
        names += [self.keys.record(delivery[:20]) for delivery in deliveries]
        args: list[Text] = [DEADLINE_MS, LONGEST_MS, due_ms, *deliveries]
        answer: list[list[str]] = await self.run("reschedule", names, *args)
        return answer

    async def pause(self, *names: str, why: str = "") -> list[Any]:
        """Hold queues (`q:...`) or tenants (`t:...`)."""
        answer: list[Any] = await self.run("pause", self.fixed("pause"), why, *names)
        return answer

    async def resume(self, name: str, limit: int = 50) -> list[str]:
        """Let a queue or tenant go on."""
        names = self.fixed("resume")
        return await self._words("resume", names, [name, DEADLINE_MS, limit])

    async def close(self, *claims: tuple[str, int]) -> list[str]:
        """The DSNs of these outcomes (delivery and fence) are admitted."""
        names, args = self.fixed("close"), [RETENTION_MS]
        for delivery, fence in claims:
            contents = self.contents(delivery[:20])
            names += [self.keys.record(delivery[:20]), *contents]
            args += [delivery, fence, len(contents)]  # type: ignore[list-item]
        return await self._words("close", names, args)

    async def trim(self, *consumers: str, apart_ms: int = 300_000, limit: int = 1000) -> list[Any]:
        """Forget events."""
        names = self.fixed("trim")
        answer: list[Any] = await self.run("trim", names, apart_ms, limit, *consumers)
        return answer

    async def _words(self, name: str, keys: Sequence[Text], args: Sequence[Text]) -> list[str]:
        return [str(word) for word in await self.run(name, keys, *args)]


def _delivery_args(new: New, chunks: int) -> list[Text]:
    recipients = tuple(Recipient(address) for address in new.recipients)
    body = encode_delivery(
        Delivery(
            1, 1_800_000_000_000, new.expires_ms, 100, "s@s.example", recipients, chunks=chunks
        )
    )
    expires = f"{new.expires_ms}+{new.late_ms}" if new.late_ms else new.expires_ms
    return [new.queue, new.lane, new.cost, int(new.flags), new.due_ms, expires, body]


def text(answer: Any) -> Any:
    """An answer with its texts decoded."""
    if isinstance(answer, bytes):
        return answer.decode()
    if isinstance(answer, list):
        return [text(part) for part in answer]
    return answer
