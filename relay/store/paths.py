"""Egress paths: connections, windows, breakers and rates that hold for the whole fleet.

A worker asks with `enter` before it leases anything, says again what it holds before its lease is
over, and tells with `leave` how it went. One call of a script is made for each path; all of one
`enter` or `leave` leave in one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any, Literal

from msgspec import Struct

from relay.policy.shaping import Limits, Rate
from relay.store.client import StoreClient
from relay.store.path_keys import path_keys
from relay.store.script import Text, script

#: What the breaker says: mail may flow; nothing begins before a time; one connection tries it out.
State = Literal["open", "dead", "probe"]

_ENTER = script("enter")
_LEAVE = script("leave")


class Path(Struct, frozen=True, array_like=True):
    """An egress path: the egress source ("" where there is but one) and the site."""

    source: str
    site: str


class PathOptions(Struct, frozen=True, kw_only=True):
    """How a holder takes part; times in milliseconds."""

    #: After this a connection that was not said again counts as closed. Say it thrice as often.
    lease_ms: int = 30_000
    #: A grant of deliveries: how many at most, and for how long while other queues wait.
    grant_deliveries: int = 50
    grant_ms: int = 10_000


class Ask(Struct, frozen=True):
    """What a queue wants of a path. Tokens are names of connections, unique to each."""

    path: Path
    #: The queue's reference, such as "0/example.com".
    queue: str
    limits: Limits
    #: Tokens of connections that are open, most wanted first; all of them, or they expire.
    held: tuple[str, ...] = ()
    #: Tokens for connections that the holder would open.
    fresh: tuple[str, ...] = ()
    #: How many deliveries it would begin.
    deliveries: int = 0


class Grant(Struct, frozen=True):
    """What the fleet allows now."""

    path: Path
    state: State
    #: Of the ask's `held`: to keep. The others are to be closed, then given back with `leave`.
    held: tuple[str, ...]
    #: Of the ask's `fresh`: may be opened.
    fresh: tuple[str, ...]
    #: How many deliveries may begin.
    deliveries: int
    #: When to ask again, in milliseconds from now: the grant is over, or there may be room.
    again_ms: int
    #: Queues that wait for a connection. Where there are any, a grant lasts for its deliveries or
    #: `again_ms`, and idle connections are to be given back.
    waiters: int
    window: int
    in_use: int
    #: The one token that may carry mail while `state` is "probe", "" where it is another holder's.
    #: Tell with `leave` at once how its delivery went.
    probe: str
    #: The last failure's reply, "" while `state` is "open".
    reply: str


class Parting(Struct, frozen=True):
    """What a holder gives back, and what it saw since it last told."""

    path: Path
    limits: Limits
    tokens: tuple[str, ...] = ()
    #: Transactions that the site answered, whatever it said of a recipient or message.
    successes: int = 0
    #: Those of them that it answered within `relay.policy.shaping.PROMPT`.
    prompt: int = 0
    #: Connections that could not be had or were refused: connect, TLS, greeting, EHLO, 421.
    failures: int = 0
    #: What the last failure said.
    reply: str = ""
    #: Of the last grant: deliveries not begun, and connections not opened.
    unused: int = 0
    unopened: int = 0


class Left(Struct, frozen=True):
    """What became of a path, and who may come in."""

    path: Path
    state: State
    window: int
    in_use: int
    #: When the breaker lets a probe out, in milliseconds from now; 0 unless `state` is "dead".
    again_ms: int
    waiters: int
    #: Queues to ring. A connection is kept for each of them for three seconds.
    queues: tuple[str, ...]


class PathState(Struct, frozen=True):
    """A path as the console shows it; times are Unix times in milliseconds by the store's clock."""

    path: Path
    state: State
    #: None where nothing was heard of the path for an hour.
    window: int | None
    in_use: int
    #: When the breaker lets a probe out, 0 while it is closed.
    until_ms: int
    reply: str
    waiters: int
    #: Up to ten queues, those that wait longest first, with since when.
    waiting: tuple[tuple[str, int], ...]
    #: The store's clock.
    now_ms: int
    #: When the next delivery, and the next connection, would arrive at its rate, in us: GCRA's
    #: theoretical time, 0 where there is no rate or it was not used lately.
    deliveries_us: int = 0
    connections_us: int = 0


class Paths:
    """One holder's part in all paths. `holder` is unique to the process's life."""

    def __init__(
        self, client: StoreClient, holder: str, options: PathOptions | None = None
    ) -> None:
        self._client = client
        self._holder = holder
        self._options = options or PathOptions()
        self._seq = count(1)

    async def enter(self, asks: Sequence[Ask]) -> list[Grant]:
        """Ask for connections and deliveries, one grant an ask. Raises StoreUnavailable."""
        answers = await asyncio.gather(*map(self._enter, asks))
        return [_grant(ask, answer) for ask, answer in zip(asks, answers, strict=True)]

    async def leave(self, partings: Sequence[Parting]) -> list[Left]:
        """Give back and tell. Raises StoreUnavailable, and what was held expires by itself."""
        answers = await asyncio.gather(*map(self._leave, partings))
        return [_left(one.path, answer) for one, answer in zip(partings, answers, strict=True)]

    async def states(self, paths: Sequence[Path]) -> list[PathState]:
        """How each path stands. Raises StoreUnavailable."""
        return await asyncio.gather(*map(self._state, paths))

    def _enter(self, ask: Ask) -> asyncio.Future[Any]:
        keys = path_keys(ask.path.source, ask.path.site)
        options, limits = self._options, ask.limits
        args: tuple[Text, ...] = (
            next(self._seq),
            ask.queue,
            min(ask.deliveries, options.grant_deliveries),
            options.lease_ms,
            options.grant_ms,
            limits.connections,
            min(limits.initial, limits.connections),
            *_rate(limits.delivery_rate),
            *_rate(limits.connection_rate),
            len(ask.held),
            *ask.held,
            *ask.fresh,
        )
        names = (keys.conns, keys.state, keys.rates, keys.waiting, keys.drawn(self._holder))
        return self._client.call(_ENTER, names, args)

    def _leave(self, one: Parting) -> asyncio.Future[Any]:
        keys = path_keys(one.path.source, one.path.site)
        limits = one.limits
        args: tuple[Text, ...] = (
            next(self._seq),
            self._options.lease_ms,
            limits.connections,
            min(limits.initial, limits.connections),
            one.successes,
            one.failures,
            one.reply,
            one.unused,
            one.unopened,
            _rate(limits.delivery_rate)[0],
            _rate(limits.connection_rate)[0],
            repr(limits.failed_cohorts),
            round(limits.first_pause * 1000),
            round(limits.longest_pause * 1000),
            one.prompt,
            *one.tokens,
        )
        holder = self._holder
        names = (keys.conns, keys.state, keys.rates, keys.waiting)
        return self._client.call(_LEAVE, (*names, keys.drawn(holder), keys.told(holder)), args)

    async def _state(self, path: Path) -> PathState:
        keys, read = path_keys(path.source, path.site), self._client.read
        time, fields, conns, waiters, waiting, arrivals = await asyncio.gather(
            read("TIME"),
            read("HMGET", keys.state, "window", "until", "reply"),
            read("ZRANGE", keys.conns, 0, -1, "WITHSCORES"),
            read("ZCARD", keys.waiting),
            read("ZRANGE", keys.waiting, 0, 9, "WITHSCORES"),
            read("HMGET", keys.rates, "deliveries", "connections"),
        )
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        window, until, reply = fields
        until_ms = int(float(until or 0))
        state: State = "open" if not until_ms else "dead" if now < until_ms else "probe"
        return PathState(
            path=path,
            state=state,
            window=None if window is None else int(window),
            in_use=sum(float(expiry) > now for expiry in conns[1::2]),
            until_ms=until_ms,
            reply=_text(reply or b""),
            waiters=waiters,
            waiting=tuple(
                (_text(queue), int(float(since)))
                for queue, since in zip(waiting[::2], waiting[1::2], strict=True)
            ),
            now_ms=now,
            deliveries_us=int(float(arrivals[0] or 0)),
            connections_us=int(float(arrivals[1] or 0)),
        )


def _rate(rate: Rate | None) -> tuple[int, int]:
    return (rate.every_us, rate.most_at_once) if rate is not None else (0, 1)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _state_of(octets: bytes) -> State:
    return "open" if octets == b"open" else "dead" if octets == b"dead" else "probe"


def _grant(ask: Ask, answer: list[Any]) -> Grant:
    state, held, fresh, deliveries, again_ms, waiters, window, in_use, probe, reply = answer
    return Grant(
        path=ask.path,
        state=_state_of(state),
        held=ask.held[:held],
        fresh=ask.fresh[:fresh],
        deliveries=deliveries,
        again_ms=again_ms,
        waiters=waiters,
        window=window,
        in_use=in_use,
        probe="" if probe == b"-" else _text(probe),
        reply="" if reply == b"-" else _text(reply),
    )


def _left(path: Path, answer: list[Any]) -> Left:
    state, window, in_use, again_ms, waiters, *queues = answer
    return Left(
        path=path,
        state=_state_of(state),
        window=window,
        in_use=in_use,
        again_ms=again_ms,
        waiters=waiters,
        queues=tuple(map(_text, queues)),
    )
