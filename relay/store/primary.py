"""Connecting to whoever is primary now: the one server there is, or the one that sentinels name."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from msgspec import structs

from relay.errors import StoreUnavailable
from relay.store.address import Address
from relay.store.servers import Sentinels, Single
from relay.store.wire import ConnectionLost, ReplyError, Wire

#: Seconds that one sentinel, and a primary that sentinels name, have to answer.
_SENTINEL = 1.0
_PRIMARY = 5.0
#: Seconds between two questions whether the primary is still the same.
_WATCH = 1.0


async def connect(
    servers: Single, *, timeout: float, most_calls: int = 10_000, most_octets: int = 64 << 20
) -> tuple[Address, Wire]:
    """A connection to the primary, and where that is.

    What an address names must not be a replica only where sentinels gave it: elsewhere the server
    says so itself, READONLY, to whoever writes. Raises ConnectionLost, StoreUnavailable where no
    sentinel knows a primary, ReplyError where a password is refused.
    """
    limits = {"most_calls": most_calls, "most_octets": most_octets}
    if isinstance(servers, Address):
        return servers, await Wire.connect(servers, timeout=timeout, **limits)
    address = await find(servers)
    wire = await Wire.connect(address, timeout=timeout, connecting=_PRIMARY, **limits)
    role = await _role(wire)
    if role != b"master":
        await wire.close()
        raise ConnectionLost(f"{address}: is no primary yet, or no longer")
    return address, wire


async def find(servers: Sentinels) -> Address:
    """Where most of the sentinels say that the primary is. Raises StoreUnavailable."""
    address, _, reasons = await _asked(servers)
    if address is None:
        raise StoreUnavailable(f"no sentinel names the primary: {'; '.join(reasons)}")
    return address


async def watch(servers: Sentinels, moved: Callable[[Address], None]) -> None:
    """Tell again and again where more than half of all sentinels say that the primary is.

    A primary that lives on beside its successor is made a replica only ten seconds later, and one
    that is cut off says nothing: neither tells its clients to go.
    """
    while True:
        await asyncio.sleep(_WATCH)
        address, votes, _ = await _asked(servers)
        if address is not None and votes * 2 > len(servers.sentinels):
            moved(address)


async def _asked(servers: Sentinels) -> tuple[Address | None, int, list[str]]:
    """The address that most sentinels name, how many do, and why the others do not."""
    answers = await asyncio.gather(*(_ask(one, servers) for one in servers.sentinels))
    named = Counter(answer for answer in answers if isinstance(answer, Address))
    reasons = [answer for answer in answers if isinstance(answer, str)]
    if not named:
        return None, 0, reasons
    [(address, votes)] = named.most_common(1)
    return address, votes, reasons


async def _ask(sentinel: Address, servers: Sentinels) -> Address | str:
    """The address that a sentinel names, or why it names none."""
    place = f"{sentinel.host}:{sentinel.port}"
    try:
        wire = await Wire.connect(sentinel, timeout=_SENTINEL)
        try:
            answer = await wire.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", servers.name)
        finally:
            await wire.close()
    except (StoreUnavailable, ReplyError) as error:
        return f"{place}: {error}"
    if not answer:
        return f"{place}: knows no {servers.name!r}"
    return structs.replace(servers.primary, host=answer[0].decode(), port=int(answer[1]))


async def _role(wire: Wire) -> bytes:
    answer = await wire.call("ROLE")
    return bytes(answer[0])


async def identity(wire: Wire) -> bytes:
    """What tells one life of one server from another, b"" where it does not say."""
    try:
        info: bytes = await wire.call("INFO", "server")
    except ReplyError:
        return b""
    for line in info.splitlines():
        if line.startswith(b"run_id:"):
            return line[7:]
    return b""
