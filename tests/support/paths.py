"""An egress path on a real server, as several workers see it, and its clock moved by hand."""

from __future__ import annotations

from typing import Any

from relay.policy.shaping import Limits
from relay.store.client import StoreClient
from relay.store.path_keys import path_keys
from relay.store.paths import Ask, Grant, Left, Parting, Path, PathOptions, Paths

PATH = Path("", "mx.example")
KEYS = path_keys(PATH.source, PATH.site)


class Worker:
    """One holder on the path, which says what it wants in few words."""

    def __init__(self, client: StoreClient, name: str, limits: Limits | None = None) -> None:
        self.limits = limits or Limits(initial=2)
        self.client = client
        self.name = name
        self.paths = Paths(client, name, PathOptions())

    async def enter(
        self,
        *fresh: str,
        held: tuple[str, ...] = (),
        queue: str = "",
        deliveries: int = 50,
    ) -> Grant:
        ask = Ask(PATH, queue or f"0/{self.name}", self.limits, held, fresh, deliveries)
        [grant] = await self.paths.enter([ask])
        return grant

    async def leave(
        self,
        *tokens: str,
        successes: int = 0,
        prompt: int = 0,
        failures: int = 0,
        reply: str = "",
        unused: int = 0,
        unopened: int = 0,
    ) -> Left:
        parting = Parting(
            PATH, self.limits, tokens, successes, prompt, failures, reply, unused, unopened
        )
        [left] = await self.paths.leave([parting])
        return left


async def now_ms(client: StoreClient) -> int:
    """The store's clock."""
    seconds, micros = await client.read("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


async def expire(client: StoreClient, *tokens: str) -> None:
    """Let tokens have expired a moment ago."""
    now = await now_ms(client)
    for token in tokens:
        await client.command("ZADD", KEYS.conns, "XX", now - 1, token)


async def dead_time_is_over(client: StoreClient) -> None:
    """Let the breaker's time have come."""
    await client.command("HSET", KEYS.state, "until", await now_ms(client) - 1)


async def field(client: StoreClient, name: str) -> Any:
    """A field of the path's state, as a number where it is one."""
    value = await client.read("HGET", KEYS.state, name)
    try:
        return float(value)
    except (TypeError, ValueError):
        return value
