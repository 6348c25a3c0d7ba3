"""Identity: from what a client says to who it is, or why it is nobody.

Everything that a stranger can cause is bounded: checks of passwords go through few threads, failed
logins are limited by client and by account, and what passed a moment ago is not checked again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from msgspec import Struct

from relay import log, metrics
from relay.errors import RelayError
from relay.identity import principal as answers
from relay.identity.directory import Directory
from relay.identity.guesses import Guesses, GuessLimits
from relay.identity.hashing import Hashing, TooBusy
from relay.identity.passed import Passed
from relay.identity.principal import Principal, Refusal, principal_of
from relay.identity.secret import (
    LONGEST_PASSWORD,
    NOBODY,
    PREFIX,
    is_password,
    is_token,
    token_name,
)
from relay.identity.spending import Spending
from relay.mail.text import printable
from relay.policy.credential import Credential, canonical_name, is_within
from relay.store.identity import IdentityStore

_log = log.logger("relay.identity")


class IdentityOptions(Struct, frozen=True):
    """Times in seconds."""

    #: How long a credential is used as it was read; a change holds everywhere after it.
    cache: float = 5.0
    #: How long a login that passed is not checked again.
    passed: float = 300.0
    #: Threads that check passwords, and logins that may wait for one.
    threads: int = 1
    waiting: int = 50
    guesses: GuessLimits = GuessLimits()


class Identity:
    """One for each process. `close` it."""

    def __init__(
        self,
        store: IdentityStore,
        options: IdentityOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        options = options or IdentityOptions()
        self._directory = Directory(store, options.cache)
        self._passed = Passed(options.passed)
        self._hashing = Hashing(options.threads, options.waiting)
        self._guesses = Guesses(store, options.guesses)
        self._spending = Spending(store)
        self._clock = clock
        self._checks: dict[bytes, asyncio.Task[Principal | Refusal]] = {}

    def close(self) -> None:
        """No more logins."""
        self._hashing.close()

    async def password(self, login: str, password: str, address: str) -> Principal | Refusal:
        """Who logs in, from the client's address ("" where it has none).

        An API token may stand for the password, with its own name or `token` as the login.
        """
        if password.startswith(PREFIX) and login in ("token", token_name(password)):
            return await self.token(password, address)
        # The same login on many sessions at once is one check.
        key = self._passed.digest(f"{address} {login}", password)
        check = self._checks.get(key)
        if check is None:
            check = asyncio.get_running_loop().create_task(self._login(login, password, address))
            self._checks[key] = check
            check.add_done_callback(lambda _: self._checks.pop(key, None))
        return _told(await asyncio.shield(check), "user", login, address)

    async def token(self, token: str, address: str) -> Principal | Refusal:
        """Whose token it is."""
        return _told(await self._by_token(token, address), "token", token_name(token), address)

    def spend(self, principal: Principal, recipients: int) -> asyncio.Future[Refusal | None]:
        """Count a message with so many recipients; the result is None where it may go on.

        Never fails but by a bug. Ask for it once a message, when all else about it is right.
        """
        return self._spending.spend(principal, recipients)

    async def _login(self, login: str, password: str, address: str) -> Principal | Refusal:
        if len(password) > LONGEST_PASSWORD:
            return answers.WRONG
        name = canonical_name(login)
        try:
            credential = await self._directory.find("user", name) if name else None
            digest = self._passed.digest(name or "", password)
            passed = self._passed.get(digest, asyncio.get_running_loop().time())
            if credential is not None and passed in self._secrets(credential):
                return self._granted(credential, address)
            with metrics.LOGIN_SECONDS.time():
                async with self._hashing.turn():
                    return await self._checked(credential, login, password, address)
        except TooBusy:
            return answers.BUSY
        except RelayError as error:
            _log.warning("a login could not be checked", why=str(error))
            return answers.STORE

    async def _checked(
        self, credential: Credential | None, login: str, password: str, address: str
    ) -> Principal | Refusal:
        # Within the turn, so that many tries at once do not all pass before the first has failed.
        again = await self._guesses.lock(login.lower(), address)
        if again:
            return answers.locked(again)
        hashes = self._secrets(credential) if credential is not None else ()
        stored = await self._hashing.run(lambda: _matching(hashes or (NOBODY,), password))
        if credential is None or not hashes or not stored:
            await self._guesses.failed(login.lower(), address)
            return answers.WRONG
        now = asyncio.get_running_loop().time()
        self._passed.add(self._passed.digest(credential.name, password), stored, now)
        await self._guesses.passed(login.lower(), address)
        return self._granted(credential, address)

    async def _by_token(self, token: str, address: str) -> Principal | Refusal:
        name = canonical_name(token_name(token))
        try:
            found = await self._directory.find("token", name) if name else None
            hashes = self._secrets(found) if found is not None else ()
            if found is not None and any(is_token(stored, token) for stored in hashes):
                return self._granted(found, address)
            again = await self._guesses.lock("", address)
            if again:
                return answers.locked(again)
            await self._guesses.failed("", address)
        except RelayError as error:
            _log.warning("a token could not be checked", why=str(error))
            return answers.STORE
        return answers.WRONG

    def _secrets(self, credential: Credential) -> tuple[str, ...]:
        """The hashes that stand now."""
        now = self._clock() * 1000
        return tuple(
            secret.hash
            for secret in credential.secrets
            if not secret.until_ms or now < secret.until_ms
        )

    def _granted(self, credential: Credential, address: str) -> Principal | Refusal:
        """Who it is whose secret was right, unless the credential does not count here and now."""
        if not is_within(address, credential.networks):
            return answers.WRONG_NETWORK
        if credential.disabled:
            return answers.DISABLED
        if credential.expires_ms and self._clock() * 1000 >= credential.expires_ms:
            return answers.EXPIRED
        return principal_of(credential)


def _matching(hashes: tuple[str, ...], password: str) -> str:
    return next((stored for stored in hashes if is_password(stored, password)), "")


def _told(result: Principal | Refusal, kind: str, name: str, address: str) -> Principal | Refusal:
    """The same; counted, and logged where nobody got in."""
    if isinstance(result, Refusal):
        metrics.LOGINS[kind, result.why].inc()
        _log.warning(
            "login refused", kind=kind, name=printable(name, 128), client=address, why=result.why
        )
    else:
        metrics.LOGINS[kind, "passed"].inc()
    return result
