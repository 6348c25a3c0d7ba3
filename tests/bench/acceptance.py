"""What each level of durability costs an acceptance: `python -m tests.bench.acceptance`.

Messages of 4 KiB are submitted by so many at once, each the next when its last was accepted, to a
store that this starts on loopback with one replica; both sync always, on the disk of TMPDIR.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import uvloop

from relay.mail.envelope import Envelope, Recipient
from relay.store.access import Access
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.submission import Submission, Submitter
from tests.support.replicated import ReplicatedStore

_CONTENT = (b"Subject: x\r\n\r\n" + b"x" * 76 + b"\r\n") + (b"y" * 76 + b"\r\n") * 51
#: Seconds for each figure.
_SECONDS = 3.0


async def _level(store: ReplicatedStore, durability: str, clients: int) -> tuple[float, float]:
    """Messages a second, and the median of ms from submission to acceptance."""
    store.flush()
    access = Access(Address.parse(store.primary.tcp_url), durability)
    await access.open(partitions=1, replicas=0)
    submitter = Submitter(
        Admission(access.accepting, 1, AdmissionOptions()), 1, lambda queues: None
    )
    took: list[float] = []
    end = time.perf_counter() + _SECONDS

    async def client(number: int) -> None:
        envelope = Envelope("a@origin.test", (Recipient(f"b@d{number}.test"),))
        while (began := time.perf_counter()) < end:
            await submitter.submit(
                Submission(id=submitter.new_id(), envelope=envelope, content=(_CONTENT,))
            )
            took.append(time.perf_counter() - began)

    await asyncio.gather(*map(client, range(clients)))
    await access.close()
    return len(took) / _SECONDS, statistics.median(took) * 1000


async def _measure() -> None:
    store = ReplicatedStore(replicas=1, home="").start()
    try:
        print("| clients | durability | messages/s | median ms |\n|---|---|---|---|")
        for clients in (1, 16, 128):
            for durability in ("fsync", "replicated"):
                rate, median = await _level(store, durability, clients)
                print(f"| {clients} | {durability} | {rate:,.0f} | {median:.2f} |", flush=True)
    finally:
        store.remove()


if __name__ == "__main__":
    uvloop.run(_measure())
