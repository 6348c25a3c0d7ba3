"""The store's client for a Redis Cluster: calls go to whoever serves their slot, node by node.

Every node has its own connection, on which calls are pipelined as on that of a single server; a
node that is away holds up what is for it alone. A node that does not serve a slot says who does
(MOVED, or ASK for a key that is on its way), and the call is said there with the same tokens.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec import structs

from relay import log
from relay.errors import StoreUnavailable
from relay.store import observed
from relay.store.address import Address
from relay.store.calls import Call
from relay.store.client import FIRST_PAUSE, LONGEST_PAUSE, ClientOptions, StoreClient
from relay.store.keys import slot_of
from relay.store.script import Text
from relay.store.servers import Cluster, Servers
from relay.store.wire import ReplyError, Wire

_log = log.logger("relay.store")
#: Seconds for connecting to a node, and for `every`.
_CONNECT = 2.0
_EVERY = 2.0
#: Seconds between two attempts to connect to a node that nothing is said to.
_SEEK = 0.5
#: How often a call may be sent on at once before it waits.
_MOST_MOVES = 5

_slot_of = lru_cache(maxsize=20_000)(slot_of)


def client_of(
    servers: Servers,
    options: ClientOptions | None = None,
    on_answer: Callable[[str, float, int], None] = observed.answered,
) -> StoreClient:
    """A client of whatever a URL names. Made on the loop that uses it."""
    if isinstance(servers, Cluster):
        return ClusterClient(servers, options, on_answer)
    return StoreClient(servers, options, on_answer)


class _Node:
    """A node, and the connection to it where there is one."""

    __slots__ = ("address", "wire")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.wire: Wire | None = None

    @property
    def open(self) -> bool:
        return self.wire is not None and not self.wire.closed


class ClusterClient(StoreClient):
    """Calls to the nodes of one cluster; see StoreClient."""

    clustered = True

    def __init__(
        self,
        cluster: Cluster,
        options: ClientOptions | None = None,
        on_answer: Callable[[str, float, int], None] = observed.answered,
    ) -> None:
        super().__init__(cluster.node, options, on_answer)
        self._cluster = cluster
        self._nodes: dict[tuple[str, int], _Node] = {}
        #: Who serves each slot, as far as is known.
        self._owners: list[_Node | None] = [None] * 16384
        #: Whoever serves any.
        self._serving: list[_Node] = []
        self._sought = 0.0
        #: Slots that were said to have moved since they were learnt.
        self._moves = 0
        self._refreshing: asyncio.Task[None] | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Learn the nodes and connect to them; one at least must answer."""
        await self._learn()
        await asyncio.gather(*map(self._connect_to, self._serving))
        if not self.connected:
            raise StoreUnavailable(self._last_error)

    async def close(self) -> None:
        """Wait for what was said already; what was not ends as StoreUnavailable."""
        self._closed = True
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await super().close()
        await asyncio.gather(*(node.wire.close() for node in self._nodes.values() if node.wire))

    @property
    def connected(self) -> bool:
        """Whether there is a connection to any node."""
        return any(node.open for node in self._nodes.values())

    @property
    def waiting(self) -> int:
        """How many calls have no answer yet."""
        wires = (node.wire for node in self._nodes.values())
        return len(self._parked) + sum(wire.in_flight for wire in wires if wire is not None)

    def reachable(self, key: Text) -> bool:
        """Whether there is a connection to who has a key, as far as is known."""
        node = self._owners[_slot_of(key)]
        if node is not None and node.open:
            return True
        if self._loop.time() - self._sought > _SEEK:
            # Whoever asks may say nothing to it then, so that nobody else would connect.
            self._sought = self._loop.time()
            self._refresh()
        return False

    async def each(self, *command: Text) -> dict[str, Any]:
        """The answer of each primary that there is now; see StoreClient."""
        asked = {}
        for node in self._serving:
            call = self._new(str(command[0]), command, _EVERY)
            call.node = node
            self._say(call)
            asked[node.address.place] = call.future
        found = await asyncio.gather(*asked.values(), return_exceptions=True)
        for failure in found:
            if isinstance(failure, BaseException) and not isinstance(failure, StoreUnavailable):
                raise failure
        if all(isinstance(answer, StoreUnavailable) for answer in found):
            raise StoreUnavailable(self._last_error)
        return dict(zip(asked, found, strict=True))

    # Who serves what.

    def _node(self, host: str, port: int) -> _Node:
        node = self._nodes.get((host, port))
        if node is None:
            node = _Node(structs.replace(self._cluster.node, host=host, port=port))
            self._nodes[host, port] = node
        return node

    def _target(self, call: Call) -> _Node | None:
        if call.node is not None:
            assert isinstance(call.node, _Node)  # noqa: S101 - set by this client alone
            return call.node
        if call.key is not None:
            return self._owners[_slot_of(call.key)]
        return next((node for node in self._serving if node.open), None)

    def _say(self, call: Call) -> None:
        node = self._target(call)
        if node is None or node.wire is None or node.wire.closed:
            if call.asking:
                call.asking, call.node = False, None
            self._park(call)
            return
        if call.asking:
            call.asking, call.node = False, None
            node.wire.send(_nothing, "ASKING")
        self._send(call, node.wire)

    def _redirected(self, call: Call, wire: Wire, error: ReplyError) -> None:
        """MOVED slot host:port, or ASK; no host stands for that of who says so."""
        word, slot, place = str(error).split()[:3]
        host, _, port = place.rpartition(":")
        node = self._node(host or self._host_of(wire), int(port))
        if word == "ASK":
            call.asking, call.node = True, node
        else:
            self._owners[int(slot)] = node
            self._moves += 1
            if node not in self._serving:
                self._serving.append(node)
            self._refresh()
        call.repeats += 1
        if node.open and call.repeats <= _MOST_MOVES:
            self._say(call)
        elif not node.open:
            self._visit(call, node)
        else:
            self._not_now(call, wire, error)

    def _visit(self, call: Call, node: _Node) -> None:
        """Say it once there is a connection to a node that was not known before."""

        async def go() -> None:
            await self._connect_to(node)
            self._say(call)

        task = self._loop.create_task(go())
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)

    def _host_of(self, wire: Wire) -> str:
        return next(
            (node.address.host for node in self._nodes.values() if node.wire is wire),
            self._cluster.node.host,
        )

    def _leave(self, wire: Wire) -> None:
        for node in self._nodes.values():
            if node.wire is wire:
                node.wire = None
                self._leaving = self._loop.create_task(wire.close())

    # Learning, and connecting.

    def _refresh(self) -> None:
        """Learn the slots anew, soon and once."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self._loop.create_task(self._relearn())

    async def _relearn(self) -> None:
        await asyncio.sleep(FIRST_PAUSE)
        try:
            await self._learn()
            await asyncio.gather(*map(self._connect_to, self._serving))
        except (StoreUnavailable, ReplyError) as error:
            self._last_error = str(error)

    async def _learn(self) -> None:
        """Ask who serves what: an open connection, or else a node or seed. Raises StoreUnavailable.

        Where the answer is another one, a replica may have become primary.
        """
        table = await self._table()
        owners: list[_Node | None] = [None] * len(self._owners)
        for first, last, (host, port, *_), *_ in table:
            node = self._node(host.decode(), int(port))
            owners[first : last + 1] = [node] * (last - first + 1)
        known = any(owner is not None for owner in self._owners)
        changed = self._moves > 0 or (known and owners != self._owners)
        self._owners, self._moves = owners, 0
        self._serving = list(dict.fromkeys(owner for owner in owners if owner is not None))
        await self._forget()
        if changed:
            _log.warning("slots of the store have moved", primaries=len(self._serving))
            if self.on_change is not None:
                self.on_change()

    async def _table(self) -> list[Any]:
        for node in list(self._nodes.values()):
            if node.wire is not None and not node.wire.closed:
                try:
                    async with asyncio.timeout(_CONNECT):
                        return _with_hosts(
                            await node.wire.call("CLUSTER", "SLOTS"), node.address.host
                        )
                except (StoreUnavailable, ReplyError, TimeoutError) as error:
                    self._last_error = f"{node.address}: {error}"
        places = [node.address for node in self._nodes.values()]
        for address in dict.fromkeys((*self._cluster.seeds, *places)):
            try:
                wire = await Wire.connect(address, timeout=_CONNECT)
                try:
                    return _with_hosts(await wire.call("CLUSTER", "SLOTS"), address.host)
                finally:
                    await wire.close()
            except (StoreUnavailable, ReplyError) as error:
                self._last_error = f"{address}: {error}"
        raise StoreUnavailable(f"no node of the cluster tells its slots: {self._last_error}")

    async def _forget(self) -> None:
        """Close the connections of nodes that serve nothing any more."""
        for place, node in list(self._nodes.items()):
            if node not in self._serving and node.wire is not None and not node.wire.in_flight:
                del self._nodes[place]
                await node.wire.close()

    async def _connect_to(self, node: _Node) -> None:
        if node.open or self._closed:
            return
        options = self._options
        try:
            wire = await Wire.connect(
                node.address,
                timeout=options.timeout,
                connecting=_CONNECT,
                most_calls=options.most_calls,
                most_octets=options.most_octets,
            )
        except (StoreUnavailable, ReplyError) as error:
            observed.failed(error)
            self._last_error = str(error)
            return
        if node.open or self._closed:
            await wire.close()
        else:
            node.wire = wire

    async def _reconnect(self) -> None:
        """Learn and connect, again and again, until nothing is parked any more."""
        pause = FIRST_PAUSE
        while self._parked:
            try:
                await self._learn()
                wanted = {node for call in self._parked if (node := self._target(call))}
                await asyncio.gather(*map(self._connect_to, wanted or self._serving))
            except (StoreUnavailable, ReplyError) as error:
                self._last_error = str(error)
            for call in list(self._parked):
                node = self._target(call)
                if node is not None and node.open:
                    self._unpark(call)
                    self._say(call)
            if self._parked:
                await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - not secret
                pause = min(pause * 2, LONGEST_PAUSE)
        self._connecting = None


def _with_hosts(table: list[Any], host: str) -> list[Any]:
    """CLUSTER SLOTS with the host that was asked where a node does not know its own."""
    for _, _, primary, *_ in table:
        if not primary[0] or primary[0] == b"?":
            primary[0] = host.encode()
    return table


def _nothing(_answer: Any) -> None:
    """ASKING says OK; what follows it has the answer that counts."""
