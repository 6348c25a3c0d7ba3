"""A domain's MTA-STS policy: discovered, fetched, and kept as long as it says (RFC 8461).

What was fetched once holds until its time is over, whatever the DNS or the policy host say or fail
to say meanwhile: else whoever can disturb them could have mail sent in the clear. It is shared by
all workers and outlives them (`Shelf`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from relay import log, metrics
from relay.errors import StoreUnavailable
from relay.lookup.answers import LookupFailed
from relay.lookup.cache import Cache
from relay.lookup.policy_file import NotFetched
from relay.lookup.resolver import Resolver
from relay.policy.mta_sts import StsPolicy, policy_id, read_policy

#: Domains that a process remembers, with a policy or without.
_MOST = 20_000
#: A policy is fetched again when this share of its time is over, and once a day (section 3.3).
_SHARE, _DAY = 0.5, 86400.0
#: After a failure nothing is fetched for so long, in seconds (section 3.3: at least 5 minutes).
_REST = 300.0
#: The shortest time that a policy is kept in the store, in seconds: for less it is not worth it.
_SHORTEST = 60
#: How long an answer without a policy holds at least, in seconds: a domain that begins to have one
#: is not protected before.
_NONE_HOLDS = 3600.0

_log = log.logger("relay.lookup")
_encode = msgspec.json.Encoder().encode


class Shelf(Protocol):
    """Where policies are kept for all processes."""

    async def get(self, domain: str) -> bytes | None:
        """What was put there, while it holds. Raises StoreUnavailable."""

    async def put(self, domain: str, value: bytes, seconds: int) -> None:
        """Keep it for so long. Raises StoreUnavailable."""


class Kept(Struct, frozen=True, array_like=True):
    """A policy that was fetched; Unix times in seconds."""

    policy: StsPolicy
    fetched: float

    @property
    def until(self) -> float:
        """When it does not hold any more."""
        return self.fetched + self.policy.max_age


_decode = msgspec.json.Decoder(Kept).decode


class Sts(Struct, frozen=True):
    """A domain's policy, None where it has none; and until when that holds, by the own clock.

    `unsure` says why there might be one all the same.
    """

    policy: StsPolicy | None
    expires: float
    unsure: str = ""


class MtaSts:
    """Knows the policies of domains. Made and used on one event loop."""

    def __init__(
        self,
        resolver: Resolver,
        fetch: Callable[[str], Awaitable[bytes]],
        shelf: Shelf | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._resolver = resolver
        self._fetch = fetch
        self._shelf = shelf
        self._clock = clock
        self._wall = wall
        self._answers: Cache[str, Sts] = Cache(_MOST)
        self._kept: Cache[str, _Memory] = Cache(_MOST)
        #: Until when a domain's policy is not to be fetched, after a failure, and what it was.
        self._resting: Cache[str, _Rest] = Cache(_MOST)
        self._finding: dict[str, asyncio.Task[Sts]] = {}
        self._renewing: dict[str, asyncio.Task[StsPolicy | None]] = {}

    async def find(self, domain: str) -> Sts:
        """The domain's policy, found once however many ask."""
        known = self._answers.get(domain, self._clock())
        if known is not None:
            return known
        task = self._finding.get(domain)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._find(domain))
            self._finding[domain] = task
            task.add_done_callback(lambda _: self._finding.pop(domain, None))
        # Shielded: one who gives up waiting does not take the answer from the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is being found."""
        tasks = [*self._finding.values(), *self._renewing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, domain: str) -> Sts:
        kept, texts = await asyncio.gather(
            self._known(domain), self._resolver.texts(f"_mta-sts.{domain}")
        )
        expires, unsure = texts.expires, ""
        policy = kept.policy if kept is not None else None
        if isinstance(texts, LookupFailed):
            unsure = texts.reason if policy is None else ""
            expires = max(expires, self._clock() + _REST)
        elif id_ := policy_id(texts.texts):
            if policy is None or policy.id != id_:
                policy, unsure = await self._renew(domain, id_, policy)
            elif kept is not None and self._is_old(kept):
                self._renew_soon(domain, id_)
        elif policy is None:
            expires = max(expires, self._clock() + _NONE_HOLDS)
        if kept is not None and policy is kept.policy:
            expires = min(expires, self._clock() + kept.until - self._wall())
        answer = Sts(policy, expires, unsure)
        self._answers.put(domain, answer)
        return answer

    async def _known(self, domain: str) -> Kept | None:
        """What is kept of the domain, in this process or for all."""
        memory = self._kept.get(domain, self._clock())
        if memory is not None:
            return memory.kept
        if self._shelf is None:
            return None
        try:
            value = await self._shelf.get(domain)
            kept = _decode(value) if value else None
        except (StoreUnavailable, msgspec.MsgspecError):
            return None
        if kept is None or kept.until <= self._wall():
            return None
        self._remember(domain, kept)
        return kept

    def _remember(self, domain: str, kept: Kept) -> None:
        self._kept.put(domain, _Memory(kept, self._clock() + kept.until - self._wall()))

    def _is_old(self, kept: Kept) -> bool:
        return self._wall() - kept.fetched > min(_DAY, kept.policy.max_age * _SHARE)

    async def _renew(
        self, domain: str, id_: str, policy: StsPolicy | None
    ) -> tuple[StsPolicy | None, str]:
        """The policy of that id; where it cannot be had the one that is kept, and why."""
        rest = self._resting.get(domain, self._clock())
        found = None if rest else await self._fetched(domain, id_)
        if found is not None:
            return found, ""
        rest = self._resting.get(domain, self._clock())
        return policy, rest.why if rest and policy is None else ""

    def _renew_soon(self, domain: str, id_: str) -> None:
        """Fetch it beside: what is kept holds meanwhile."""
        if domain in self._renewing or self._resting.get(domain, self._clock()):
            return
        task = asyncio.get_running_loop().create_task(self._fetched(domain, id_))
        self._renewing[domain] = task
        task.add_done_callback(lambda _: self._renewing.pop(domain, None))

    async def _fetched(self, domain: str, id_: str) -> StsPolicy | None:
        """The policy as it is now, kept from now on; None where it cannot be had."""
        try:
            policy = read_policy(await self._fetch(domain), id_)
        except (NotFetched, ValueError) as error:
            metrics.STS_FETCHES["failed"].inc()
            _log.warning("no MTA-STS policy", domain=domain, why=str(error))
            self._resting.put(domain, _Rest(str(error), self._clock() + _REST))
            return None
        metrics.STS_FETCHES["fetched"].inc()
        kept = Kept(policy, self._wall())
        self._remember(domain, kept)
        if self._shelf is not None and policy.max_age >= _SHORTEST:
            try:
                await self._shelf.put(domain, _encode(kept), policy.max_age)
            except StoreUnavailable as error:
                _log.warning("an MTA-STS policy is not shared", domain=domain, why=str(error))
        return policy


class _Memory(Struct, frozen=True):
    """What is kept, with the time by the own clock until which it holds."""

    kept: Kept
    expires: float


class _Rest(Struct, frozen=True):
    """Nothing is fetched until then."""

    why: str
    expires: float
