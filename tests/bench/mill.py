"""A mill: Relay's own client code on one store, without SMTP: admit, lease, settle in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from relay.delivery.judge import Circumstances, judge
from relay.mail.envelope import Envelope, Recipient
from relay.mail.outcome import Delivered
from relay.mail.reply import Reply
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import StoreClient
from relay.store.leasing import Lease, LeaseOptions, Leasing
from relay.submission import Submission, Submitter

#: Submissions that wait for their answer at once: what a busy reception has in flight.
_IN_FLIGHT = 100
#: Deliveries in a call of lease and of settle.
_CALL = 50
_SENDER = "sender@bench.test"
_TAKEN = Delivered(Reply(250, "2.0.0", "taken"))


class Mill:
    """One client of one store; call `open` before anything else."""

    def __init__(self, url: str, holder: str = "mill") -> None:
        self._client = StoreClient(Address.parse(url))
        self._leasing = Leasing(self._client, 1, holder, LeaseOptions())
        self._submitter = Submitter(
            Admission(self._client, 1, AdmissionOptions()), 1, lambda _queues: None
        )

    async def open(self) -> None:
        """Connect."""
        await self._client.start()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()

    async def admit(
        self,
        queues: Sequence[str],
        content: bytes,
        *,
        tenant: str = "",
        first: int = 0,
        send_at_ms: int = 0,
    ) -> None:
        """A message for each entry of `queues`, `_IN_FLIGHT` at a time. They are numbered."""
        submitter = self._submitter
        for at in range(0, len(queues), _IN_FLIGHT):
            answers = [
                submitter.submit(
                    Submission(
                        id=submitter.new_id(),
                        envelope=Envelope(_SENDER, (Recipient(f"r{first + n}-0@{queues[n]}"),)),
                        content=(content,),
                        tenant=tenant,
                        send_at_ms=send_at_ms,
                    )
                )
                for n in range(at, min(at + _IN_FLIGHT, len(queues)))
            ]
            for answer in answers:
                await answer

    async def lease(self, queues: Sequence[str], each: int) -> list[Lease]:
        """Up to `each` deliveries of each queue, as many queues a call as a call may serve."""
        leases: list[Lease] = []
        step = max(_CALL // each, 1)
        for at in range(0, len(queues), step):
            wants = [(queue, each) for queue in queues[at : at + step]]
            for grant in await self._leasing.lease(0, wants):
                leases += grant.leases
        return leases

    async def settle(self, leases: Sequence[Lease]) -> None:
        """Have them delivered."""
        where = Circumstances(at_ms=0, took_ms=1, host="mx.test", address="127.0.0.1")
        batches = [leases[at : at + _CALL] for at in range(0, len(leases), _CALL)]
        await asyncio.gather(
            *(
                self._leasing.settle(0, [judge(one, [_TAKEN], where, wait_ms=0) for one in batch])
                for batch in batches
            )
        )
