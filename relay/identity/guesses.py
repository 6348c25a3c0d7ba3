"""Guesses: failed logins of a client or for an account, counted in the store for the whole fleet.

A client that has logged in to an account lately is not kept out by what others try on it: else
anybody could lock anybody out.
"""

from __future__ import annotations

import asyncio
import secrets

from msgspec import Struct

from relay.policy.credential import counts_as
from relay.store.identity import Failures, IdentityStore, Verb
from relay.store.identity_keys import account


class GuessLimits(Struct, frozen=True):
    """How many failed logins there may be within `window` seconds."""

    per_client: int = 20
    per_account: int = 10
    window: float = 900.0
    #: How long a client that got in is known to the account, in seconds.
    known: float = 30 * 86400.0


class Guesses:
    """All of it may raise StoreUnavailable."""

    def __init__(self, store: IdentityStore, limits: GuessLimits) -> None:
        self._store = store
        self._limits = limits

    async def lock(self, login: str, address: str) -> float:
        """Seconds until another try may be made; 0: now. `login` is "" for a token."""
        of_client, of_account = await asyncio.gather(
            self._ask(_client(address), "look"), self._ask(_account(login), "look", address)
        )
        limits, again = self._limits, 0.0
        if of_client.count >= limits.per_client:
            again = of_client.again_ms / 1000
        if of_account.count >= limits.per_account and not of_account.known:
            again = max(again, of_account.again_ms / 1000)
        return again

    async def failed(self, login: str, address: str) -> None:
        """A try was wrong."""
        await asyncio.gather(
            self._ask(_client(address), "failed"), self._ask(_account(login), "failed", address)
        )

    async def passed(self, login: str, address: str) -> None:
        """A try was right."""
        await self._ask(_account(login), "passed", address)

    async def _ask(self, who: str, verb: Verb, address: str = "") -> Failures:
        if not who:
            return _NONE
        return await self._store.logins(
            who,
            verb,
            window_ms=round(self._limits.window * 1000),
            known_ms=round(self._limits.known * 1000),
            client=_client(address),
            token=secrets.token_hex(8),
        )


_NONE = Failures(0, 0, False)


def _client(address: str) -> str:
    return counts_as(address) if address else ""


def _account(login: str) -> str:
    return account(login) if login else ""
