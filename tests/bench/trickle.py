"""A trickle: messages of many tenants at an even pace, straight into the store of a running Relay.

SMTP knows no tenants, so this is Relay's own submission with its own doorbell, as a client of the
library is. Each message carries the moment at which it was due, so a stall counts in full.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from relay.mail.envelope import Envelope, Recipient
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import StoreClient
from relay.store.doorbell import Doorbell
from relay.submission import Accepted, Submission, Submitter

#: Tenants, and domains besides the one that they share with the bulk: d1.test, d2.test ...
_TENANTS, _DOMAINS = 10, 99
_SENDER = "sender@bench.test"
_HEADER = "Subject: trickle\r\nX-Bench: {number} {due_ns}\r\n\r\n"
_BODY = "x" * 70 + "\r\n"


def trickle(data: Path, first: int, rate: float, goes_on: Callable[[], bool]) -> int:
    """Submit messages, numbered from `first`, while `goes_on()`; how many were accepted.

    `data` is the data directory of `relay up`. Every second one is for d0.test, the others are for
    other domains in turn.
    """
    return uvloop.run(_submit(data, first, rate, goes_on))


async def _submit(data: Path, first: int, rate: float, goes_on: Callable[[], bool]) -> int:
    client = StoreClient(Address.parse(f"unix://{data / 'store.sock'}"))
    doorbell = Doorbell(Address.parse(f"unix://{data / 'broker.sock'}"))
    await client.start()
    submitter = Submitter(Admission(client, 1, AdmissionOptions()), 1, doorbell.ring)
    answers: list[asyncio.Future[Accepted]] = []
    began = time.monotonic_ns()
    while goes_on():
        number = len(answers)
        due_ns = began + round(number / rate * 1e9)
        await asyncio.sleep(max(due_ns - time.monotonic_ns(), 0) / 1e9)
        answers.append(submitter.submit(_message(submitter, first + number, due_ns)))
    await asyncio.gather(*answers)
    await doorbell.close()
    await client.close()
    return len(answers)


def _message(submitter: Submitter, number: int, due_ns: int) -> Submission:
    domain = 0 if number % 2 else 1 + number // 2 % _DOMAINS
    text = _HEADER.format(number=number, due_ns=due_ns) + _BODY * 10
    return Submission(
        id=submitter.new_id(),
        envelope=Envelope(_SENDER, (Recipient(f"r{number}-0@d{domain}.test"),)),
        content=(text.encode(),),
        tenant=f"tenant{number // 2 % _TENANTS}",
    )
