"""The store's client: calls that are repeated, with the same tokens, until they are answered.

It keeps one connection, and makes it again when it is lost. A script may be repeated, as each gives
the same answer when it is said twice; so a call that met a lost connection, or a server that does
not serve just now, is said again until its patience ends.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from relay.errors import ConfigError, StoreFull, StoreUnavailable
from relay.store import observed, primary
from relay.store.address import Address
from relay.store.calls import NOTHING, Call, Held
from relay.store.confirm import Confirmation
from relay.store.script import Script, Text, is_unknown
from relay.store.servers import Single
from relay.store.wire import ConnectionLost, ReplyError, Wire

#: Error replies of a server that ran nothing and may serve soon.
_NOT_NOW = frozenset(
    (
        "LOADING",
        "READONLY",
        "TRYAGAIN",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "NOREPLICAS",
        "BUSY",
        "MISCONF",
    )
)
#: What is wrong where a node is taken for a server of its own.
A_CLUSTER = "store.url: that is a node of a Redis Cluster: write redis+cluster:// in its URL"
#: How long to wait before a call is said again, and before a connection is tried again, seconds.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0


class ClientOptions(Struct, frozen=True, kw_only=True):
    """How a client behaves; times in seconds."""

    #: How long a call is repeated before it ends as StoreUnavailable.
    patience: float = 60.0
    #: How long an answer may take before the connection counts as lost.
    timeout: float = 15.0
    #: How many calls may be without an answer, and how many octets they may hold.
    most_calls: int = 10_000
    most_octets: int = 64 << 20


class StoreClient:
    """Calls to one store. Made on the loop that uses it; `start` before, `close` after.

    `on_answer(name, seconds, repeats)` hears of every answer: a script's name or a command's first
    word, the time from the call to the answer, and how often it was said again. Metrics, if nobody
    else, do.
    """

    #: Whether it speaks to a Redis Cluster.
    clustered = False

    def __init__(
        self,
        servers: Single,
        options: ClientOptions | None = None,
        on_answer: Callable[[str, float, int], None] = observed.answered,
    ) -> None:
        self._servers = servers
        self._address = servers if isinstance(servers, Address) else servers.primary
        self._options = options or ClientOptions()
        self._on_answer = on_answer
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._confirmations: dict[Wire, Confirmation] = {}
        self._connected_at = 0.0
        self._connecting: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._parked: dict[Call, int] = {}
        self._parked_octets = 0
        self._closed = False
        self._last_error = "no connection yet"
        #: How many replicas must have what a call wrote that is to be confirmed; 0: none.
        self.replicas = 0
        #: Hears that another server, or another life of the same, answers from now on: what was
        #: acknowledged a moment ago may be unknown to it.
        self.on_change: Callable[[], None] | None = None
        self._identity = b""

    async def start(self) -> None:
        """Connect. Raises StoreUnavailable or ReplyError at once where that fails."""
        self._wire = await self._connect()

    async def close(self) -> None:
        """Wait for what was said already; what was not ends as StoreUnavailable."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        for call in list(self._parked):
            self._fail(call, StoreUnavailable("the store's client was closed"))
        if self._wire is not None:
            await self._wire.close()
        if self._leaving is not None:
            await self._leaving

    @property
    def address(self) -> Address:
        """Where the server is that was connected to last, and how it is talked to."""
        return self._address

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._wire is not None and not self._wire.closed

    @property
    def waiting(self) -> int:
        """How many calls have no answer yet."""
        return len(self._parked) + (self._wire.in_flight if self._wire is not None else 0)

    def call(
        self,
        what: Script,
        keys: Sequence[Text],
        args: Sequence[Text] = (),
        patience: float | None = None,
        *,
        confirmed: bool = False,
    ) -> asyncio.Future[Any]:
        """Run a script until there is an answer; `confirmed`: one that the replicas have, too.

        The future fails with StoreUnavailable when `patience` seconds have passed or too much is
        waiting, with NotReplicated, with StoreFull, or with ReplyError where the script itself
        refused (a bug).
        """
        call = self._new(what.name, what.command(keys, args), patience)
        call.script = what
        call.key = keys[0]
        call.confirmed = confirmed and self.replicas > 0
        self._say(call)
        return call.future

    def read(self, *command: Text) -> asyncio.Future[Any]:
        """A command that may be said twice, such as one that only reads; repeated like a script."""
        call = self._new(str(command[0]), command, None)
        self._say(call)
        return call.future

    async def every(self, *command: Text) -> list[Any]:
        """The answers of all primaries to a command, of those that there are now.

        One that is away for two seconds is left out, or ends it where it is the only one.
        """
        found = (await self.each(*command)).values()
        return [answer for answer in found if not isinstance(answer, StoreUnavailable)]

    async def each(self, *command: Text) -> dict[str, Any]:
        """The answer of each primary by its name, or the StoreUnavailable of one that is away.

        Raises it where there is only one, and ReplyError.
        """
        return {self.address.place: await self.read(*command)}

    def reachable(self, key: Text) -> bool:
        """Whether there is a connection to who has a key, as far as is known."""
        return self.connected

    def command(self, *command: Text) -> asyncio.Future[Any]:
        """A command that must not be said twice: a connection lost meanwhile ends it."""
        call = self._new(str(command[0]), command, None)
        call.repeatable = False
        self._say(call)
        return call.future

    def _new(self, name: str, command: Sequence[Text], patience: float | None) -> Call:
        now = self._loop.time()
        call = Call(self._loop.create_future(), name, command, now)
        call.key = command[1] if len(command) > 1 else None
        call.deadline = now + (self._options.patience if patience is None else patience)
        return call

    def _say(self, call: Call) -> None:
        wire = self._wire
        if wire is None or wire.closed:
            self._park(call)
        else:
            self._send(call, wire)

    def _send(self, call: Call, wire: Wire) -> None:
        wire.send(partial(self._answered, call, wire), *call.command)
        if call.confirmed:
            self._confirmation(wire).said(call)

    def _confirmation(self, wire: Wire) -> Confirmation:
        """What holds back the answers of a connection until replicas have it."""
        found = self._confirmations.get(wire)
        if found is None:
            found = Confirmation(wire, self.replicas, self._finish, self._unheard)
            open_ones = {one: held for one, held in self._confirmations.items() if not one.closed}
            self._confirmations = {**open_ones, wire: found}
        return found

    def _unheard(self, wire: Wire, calls: Sequence[Held], error: Exception) -> None:
        """Nobody can say any more what the replicas have: all is said again."""
        if not wire.closed:
            self._leave(wire)
        for call in calls:
            assert isinstance(call, Call)  # noqa: S101 - said by none but this client
            self._refused(call, wire, error)

    def _answered(self, call: Call, wire: Wire, answer: Any) -> None:
        if call.future.done():
            return
        if isinstance(answer, Exception):
            self._refused(call, wire, answer)
        elif call.confirmed:
            call.answer = answer
        else:
            call.future.set_result(answer)
            self._on_answer(call.name, self._loop.time() - call.started, call.repeats)

    def _finish(self, call: Held) -> None:
        """Replicas have what the call wrote, or its patience is at its end."""
        assert isinstance(call, Call)  # noqa: S101 - said by none but this client
        if isinstance(call.answer, Exception):
            observed.gave_up()
            self._fail(call, call.answer)
        else:
            call.future.set_result(call.answer)
            self._on_answer(call.name, self._loop.time() - call.started, call.repeats)

    def _refused(self, call: Call, wire: Wire, error: Exception) -> None:
        """Say it again where that may help and harms nothing; otherwise give the error on."""
        if call.script is not None and is_unknown(error):
            call.command = call.script.whole(call.command)
            self._say(call)
            return
        observed.failed(error)
        if isinstance(error, ConnectionLost):
            self._last_error = str(error)
            if not call.repeatable:
                self._fail(call, error)
            else:
                call.repeats += 1
                self._park(call)
        elif not isinstance(error, ReplyError):
            self._fail(call, error)
        elif error.word in _NOT_NOW:
            self._not_now(call, wire, error)
        elif error.word in ("MOVED", "ASK"):
            self._redirected(call, wire, error)
        else:
            self._fail(call, StoreFull(str(error)) if error.word == "OOM" else error)

    def _redirected(self, call: Call, wire: Wire, error: ReplyError) -> None:
        self._fail(call, ConfigError([A_CLUSTER]))

    def _not_now(self, call: Call, wire: Wire, error: ReplyError) -> None:
        self._last_error = str(error)
        if error.word == "READONLY" and wire is self._wire:
            # A replica answers: the primary is elsewhere, or will be behind the same address.
            self._leave(wire)
        pause = min(FIRST_PAUSE * 2 ** min(call.repeats, 10), LONGEST_PAUSE)
        call.repeats += 1
        if self._loop.time() + pause >= call.deadline:
            observed.gave_up()
            self._fail(call, StoreUnavailable(self._last_error))
        else:
            call.pause = self._loop.call_later(pause, self._say, call)

    def _leave(self, wire: Wire) -> None:
        """Say nothing more on a connection; what was said is still answered."""
        if wire is self._wire:
            self._wire = None
            self._leaving = self._loop.create_task(wire.close())

    def _park(self, call: Call) -> None:
        """Keep a call until there is a connection, or its patience ends."""
        call.answer = NOTHING
        octets = call.octets()
        full = self._parked_octets + octets > self._options.most_octets
        if self._closed or full or len(self._parked) >= self._options.most_calls:
            self._fail(call, StoreUnavailable(f"too much waits for the store: {self._last_error}"))
            return
        left = call.deadline - self._loop.time()
        if left <= 0:
            observed.gave_up()
            self._fail(call, StoreUnavailable(self._last_error))
            return
        self._parked[call] = octets
        self._parked_octets += octets
        call.pause = self._loop.call_later(left, self._give_up, call)
        if self._connecting is None:
            self._connecting = self._loop.create_task(self._reconnect())

    def _unpark(self, call: Call) -> None:
        if call.pause is not None:
            call.pause.cancel()
            call.pause = None
        self._parked_octets -= self._parked.pop(call, 0)

    def _give_up(self, call: Call) -> None:
        observed.gave_up()
        self._fail(call, StoreUnavailable(self._last_error))

    def _fail(self, call: Call, error: Exception) -> None:
        self._unpark(call)
        if not call.future.done():
            call.future.set_exception(error)

    async def _connect(self) -> Wire:
        options = self._options
        self._connected_at = self._loop.time()
        self._address, wire = await primary.connect(
            self._servers,
            timeout=options.timeout,
            most_calls=options.most_calls,
            most_octets=options.most_octets,
        )
        if self._watching is None and not isinstance(self._servers, Address):
            watch = primary.watch(self._servers, self._moved)
            self._watching = self._loop.create_task(watch)
        if self.on_change is not None:
            await self._meet(wire, self.on_change)
        return wire

    def _moved(self, address: Address) -> None:
        """Where the primary is: if it is elsewhere, all that has no answer is said there."""
        if address != self._address and self._wire is not None:
            self._wire.abort(f"{self._address}: is the primary no longer")

    async def _meet(self, wire: Wire, changed: Callable[[], None]) -> None:
        """Learn who answers, and tell where it is somebody new."""
        known, self._identity = self._identity, await primary.identity(wire)
        if known and known != self._identity:
            self._loop.call_soon(changed)

    async def _reconnect(self) -> None:
        """Connect, however often it takes, then say all that is parked."""
        pause = FIRST_PAUSE
        # A connection that broke as soon as it was made would otherwise be made again at once.
        broke_soon = self._loop.time() - self._connected_at < LONGEST_PAUSE
        while self._parked:
            if broke_soon:
                await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - not secret
                pause = min(pause * 2, LONGEST_PAUSE)
            try:
                self._wire = await self._connect()
                break
            except (StoreUnavailable, ReplyError) as error:
                observed.failed(error)
                self._last_error = str(error)
                broke_soon = True
        self._connecting = None
        for call in list(self._parked):
            self._unpark(call)
            self._say(call)
