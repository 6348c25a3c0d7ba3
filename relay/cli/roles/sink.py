"""The role `sink`: the sandbox's catch-all, which takes every message over real SMTP and keeps it.

The last messages lie as .eml files in the data directory, so that one can look at what was sent.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from argparse import Namespace
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from relay import log
from relay.cli import exits
from relay.cli.roles.process import run
from relay.config import Settings, load_settings
from relay.config.values import split_endpoint
from relay.ingress.access import Limits
from relay.ingress.listener import Listen
from relay.ingress.reception import ReceptionOptions
from relay.ingress.smtp import serve
from relay.mail.envelope import Envelope
from relay.mail.ids import CHANCE_BITS, message_id
from relay.mail.transaction import ReceiverOptions
from relay.submission import Accepted, Submission

#: What may stand in a file's name.
_UNSAFE = re.compile(r"[^A-Za-z0-9@._+-]")
#: Seconds that sessions have to end.
_GRACE = 5.0


def sink(arguments: Namespace) -> int:
    """Take every message until told to stop."""
    settings = load_settings(arguments.config)
    log.configure(settings.log.format, settings.log.level, conceal=settings.log.conceal)
    return run(lambda stop: _serve(settings, stop))


class CatchAll:
    """Accepts whatever comes, and keeps the last messages as files, oldest dropped first."""

    def __init__(self, directory: Path, *, keep: int, keep_size: int) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._keep = keep
        self._keep_size = keep_size
        found = sorted(directory.glob("*.eml"))
        self._files = deque((path, path.stat().st_size) for path in found)
        self._size = sum(size for _, size in self._files)

    def new_id(self, tenant: str = "", idempotency_key: str = "") -> str:
        """An id for a message to come."""
        chance = secrets.randbits(CHANCE_BITS)
        return message_id(ms=time.time_ns() // 1_000_000, partition=0, chance=chance)

    def submit(self, submission: Submission) -> asyncio.Future[Accepted]:
        """Keep the message; done at once."""
        path = self._directory / _file_name(submission)
        pieces = (_final_trace(submission.envelope), *submission.content)
        size = sum(map(len, pieces))
        with path.open("wb") as file:
            file.writelines(pieces)
        self._files.append((path, size))
        self._size += size
        self._drop_oldest()
        accepted: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        accepted.set_result(Accepted(submission.id, repeated=False))
        return accepted

    def _drop_oldest(self) -> None:
        while len(self._files) > self._keep or (
            self._size > self._keep_size and len(self._files) > 1
        ):
            path, size = self._files.popleft()
            path.unlink(missing_ok=True)
            self._size -= size


async def _serve(settings: Settings, stop: asyncio.Event) -> int:
    sandbox = settings.sandbox
    catch_all = CatchAll(
        Path(settings.data) / "sink", keep=sandbox.keep, keep_size=sandbox.keep_size
    )
    host, port = split_endpoint(sandbox.listen)
    server = await serve(
        catch_all,
        _options(settings),
        [Listen(host, port, "sandbox.listen")],
    )
    await stop.wait()
    await server.stop(_GRACE)
    return exits.OK


def _options(settings: Settings) -> ReceptionOptions:
    """Wide limits: what was accepted here must not fail there, however fast it is sent."""
    limits = settings.smtp.limits
    receiver = ReceiverOptions(
        hostname="sink.sandbox",
        message_size=limits.message_size + (1 << 20),
        recipients=limits.recipients,
        commands=1_000_000,
        hops=limits.hops + 10,
    )
    clients = Limits(connections=10_000, per_client=10_000, stranger_rate=0, error_rate=0)
    return ReceptionOptions(receiver, clients=clients)


def _file_name(submission: Submission) -> str:
    """When, to whom and a part of the id that nothing else has, in the order of coming."""
    now = time.time()
    moment = (
        time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f".{int(now % 1 * 1_000_000):06d}"
    )
    recipient = _UNSAFE.sub("_", submission.envelope.recipients[0].address)[:100]
    return f"{moment}-{recipient}-{submission.id[-6:]}.eml"


def _final_trace(envelope: Envelope) -> bytes:
    """The header fields of final delivery (RFC 5321 section 4.4): they show the envelope."""
    recipients: Sequence[str] = [recipient.address for recipient in envelope.recipients]
    lines = [f"Return-Path: <{envelope.sender}>", *(f"Delivered-To: {to}" for to in recipients)]
    return "".join(f"{line}\r\n" for line in lines).encode()
