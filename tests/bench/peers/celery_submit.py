"""The application beside it: publishes a load as tasks, and tells what the broker took and when.

    python -m tests.bench.peers.celery_submit LIMIT < LOAD

The load comes as JSON, the figures go as JSON: the same that the injector prints. Messages have the
same ids, header and size as the injector's. A message to several recipients is a task for each.
"""

from __future__ import annotations

import base64
import multiprocessing
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import msgspec
from msgspec import Struct

from tests.bench.figures import Load
from tests.bench.injector import Injected
from tests.bench.peers.celery_relay import send

#: Processes that publish at once; at a rate one does.
_PUBLISHERS = 2
#: Octets of a header, about, as the injector takes it.
_HEADER = 240
_LINE = 76


class _Share(Struct):
    """What one process publishes: messages `first`, `first + step` ..."""

    load: Load
    body: str
    first: int
    step: int
    began_ns: int
    limit: float


class _Published(Struct):
    """What came of it."""

    last_ns: int
    #: For each message, ms from when it was begun or due until the broker had it.
    took_ms: list[float]
    cpu_s: float


def text(octets: int) -> str:
    """A body of so many octets that does not compress, in lines."""
    raw = base64.b64encode(random.Random(1).randbytes(octets)).decode("ascii")
    lines = "\r\n".join(raw[at : at + _LINE] for at in range(0, octets, _LINE))
    return lines[: octets - 2].rstrip("\r").ljust(octets - 2, "-") + "\r\n"


def publish(share: _Share) -> _Published:
    """Publish a share, one message after the other."""
    load, took_ms = share.load, []
    for number in range(share.first, load.messages, share.step):
        due = time.monotonic_ns()
        if load.rate:
            due = share.began_ns + int(number / load.rate * 1e9)
            time.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
        if (due - share.began_ns) / 1e9 > share.limit:
            break
        for k in range(load.recipients):
            recipient, message = written(load, number, k, due, share.body)
            send.delay("sender@bench.test", recipient, message)
        took_ms.append((time.monotonic_ns() - due) / 1e6)
    return _Published(time.monotonic_ns(), took_ms, time.process_time())


def written(load: Load, number: int, k: int, due_ns: int, body: str) -> tuple[str, str]:
    """Recipient `k` of a message, and the message as it goes to that one."""
    domain = (number + k) % load.domains
    recipient = f"r{number}-{k}@{'s' if domain < load.tarpits else 'd'}{domain}.test"
    header = (
        f"From: <sender@bench.test>\r\nTo: <{recipient}>\r\nSubject: benchmark {number}\r\n"
        "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{number}.{due_ns}@bench.test>\r\nX-Bench: {number} {due_ns}\r\n\r\n"
    )
    return recipient, header + body


def main(load: Load, limit: float) -> Injected:
    """Publish the load."""
    body = text(max(load.octets - _HEADER, 2))
    count = 1 if load.rate else _PUBLISHERS
    with ProcessPoolExecutor(count, multiprocessing.get_context("fork")) as pool:
        began = time.monotonic_ns()
        shares = [_Share(load, body, first, count, began, limit) for first in range(count)]
        results = list(pool.map(publish, shares))
    took = sorted(ms for one in results for ms in one.took_ms)
    accepted = len(took)
    return Injected(
        began_ns=began,
        accepted=accepted,
        failed=load.messages - accepted,
        retries=0,
        seconds=(max(one.last_ns for one in results) - began) / 1e9,
        ack_p50_ms=took[accepted // 2] if took else 0.0,
        ack_p99_ms=took[int(accepted * 0.99)] if took else 0.0,
        cpu_s=sum(one.cpu_s for one in results),
        body=len(body),
    )


if __name__ == "__main__":
    injected = main(msgspec.json.decode(sys.stdin.buffer.read(), type=Load), float(sys.argv[1]))
    sys.stdout.buffer.write(msgspec.json.encode(injected))
