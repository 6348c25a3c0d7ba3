"""The way to Relay through its store: scripts said on a connection to Redis, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from relay.api.contract import Cancelled, Event, Rescheduled, Result, Status
from relay.api.intake import Intake, Origin
from relay.console.events import Events
from relay.console.status import StoreConsole
from relay.errors import AccessDenied, NoSuchMessage, RelayError
from relay.mail.message import Message
from relay.store.access import Access
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import ClientOptions
from relay.store.control import Control
from relay.store.doorbell import Doorbell
from relay.store.fullness import Fullness
from relay.store.schema import noted_index, partitions_of
from relay.store.servers import servers_of, single
from relay.store.timing import TimingOptions
from relay.store.wire import ReplyError
from relay.submission import Accepted, Submitter

#: Messages said in one turn of the loop: the store works on them while more are made.
_TURN = 25
#: Connections over which messages go: the store reads a little from each before it syncs.
_CONNECTIONS = 8
#: How servers say that a user may not run a command, also from within a script.
_DENIED = ("NOPERM", "permissions", "can't run this command")
#: Seconds between two looks for events.
POLL = 0.25


class DirectOptions(Struct, frozen=True, kw_only=True):
    """Where the servers are, and how patient to be."""

    store: str
    #: Without one nobody is rung: the pump of some worker soon finds what came in.
    broker: str = ""
    #: Only `replicated` asks anything of this client: that the replicas have a message, too. The
    #: number of partitions is then checked as well.
    durability: str = "fsync"
    partitions: int = 1
    replicas: int = 0
    #: Seconds that a call is repeated before it ends as StoreUnavailable.
    timeout: float = 60.0
    origin: Origin = Origin(way="api")
    #: Share of the store's maxmemory from which on nothing is submitted.
    memory_high: float = 0.8


class Direct:
    """See `relay.api.contract.Transport`."""

    def __init__(self, options: DirectOptions) -> None:
        self._options = options
        self._stack = contextlib.AsyncExitStack()

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable, ConfigError where the store is none of Relay's."""
        options = self._options
        async with contextlib.AsyncExitStack() as stack:
            access = Access(
                servers_of(options.store),
                options.durability,
                ClientOptions(patience=options.timeout),
                connections=_CONNECTIONS,
            )
            stack.push_async_callback(access.close)
            client = access.client
            with _rights():
                if options.durability == "replicated":
                    await access.open(options.partitions, options.replicas)
                else:
                    await access.start()
                partitions, index = await partitions_of(client), await noted_index(client)
            deadline_ms, ring = 0, _nobody
            if options.broker:
                doorbell = Doorbell(single(options.broker))
                stack.push_async_callback(doorbell.close)
                deadline_ms, ring = TimingOptions().deadline_ms, doorbell.ring
            watch = Fullness(client, memory_high=options.memory_high)
            looking = asyncio.create_task(watch.watch())
            stack.callback(looking.cancel)
            admission = Admission(
                access.accepting, partitions, AdmissionOptions(deadline_ms=deadline_ms, index=index)
            )
            withdraw = Control(client, partitions).withdraw
            self._submitter = Submitter(admission, partitions, ring, watch, withdraw)
            self._intake = Intake(self._submitter, options.origin)
            self._console = StoreConsole(client, partitions, ring)
            self._events = Events(client, partitions)
            self._stack = stack.pop_all()

    async def close(self) -> None:
        """Wait for what was said already, and disconnect."""
        await self._stack.aclose()

    async def submit(self, message: Message) -> Accepted:
        """Accept one message."""
        with _rights():
            return await self._submitter.submit(self._intake.submission(message))

    async def submit_many(self, messages: Sequence[Message]) -> list[Result]:
        """Accept many: all are said before the first answer is waited for."""
        said: list[asyncio.Future[Accepted] | RelayError] = []
        for number, message in enumerate(messages):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            try:
                said.append(self._submitter.submit(self._intake.submission(message)))
            except RelayError as error:
                said.append(error)
        return [one if isinstance(one, RelayError) else await _result(one) for one in said]

    async def status(self, message: str) -> Status:
        """What has become of a message."""
        with _rights():
            return await self._console.message(message)

    async def cancel(self, message: str) -> tuple[Cancelled, ...]:
        """Stop what is not delivered yet."""
        with _rights():
            return await self._console.cancel(message)

    async def reschedule(self, message: str, at: datetime | None) -> tuple[Rescheduled, ...]:
        """Attempt what is not delivered yet at a time, or now."""
        with _rights():
            return await self._console.reschedule(message, at)

    async def events(self, after: str) -> AsyncIterator[Event]:
        """Events behind an event's id, or from now on."""
        cursor = after or await self._events.now()
        while True:
            try:
                with _rights():
                    found, ahead = await self._events.after(cursor)
            except ValueError as error:
                raise NoSuchMessage(f"{after!r} {error}") from None
            for event in found:
                yield event
            if ahead == cursor:
                await asyncio.sleep(POLL)
            cursor = ahead


async def _result(asked: asyncio.Future[Accepted]) -> Result:
    try:
        with _rights():
            return await asked
    except RelayError as error:
        return error


@contextlib.contextmanager
def _rights() -> Iterator[None]:
    """What the store's user may not do is told as what it is."""
    try:
        yield
    except ReplyError as error:
        text = str(error)
        known = error.word not in ("WRONGPASS", "NOAUTH")
        if not known or any(word in text for word in _DENIED):
            why = f"the store's user may not do this (docs/python.md has the rules): {text}"
            raise AccessDenied(why, known=known) from None
        raise


def _nobody(queues: Sequence[str]) -> None:
    """Nobody is rung: the wake entry is due at once, and the pump looks at it."""
