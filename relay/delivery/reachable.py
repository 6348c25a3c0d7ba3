"""The hosts of a domain that can be connected to, gathered host by host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from relay.delivery.unroutable import RouteFailure, unreachable
from relay.lookup.answers import Addresses, HostAddresses, LookupFailed
from relay.lookup.resolver import Resolver
from relay.smtp.options import Target

#: Refused addresses and missing hosts that a reply names at most.
_MOST_NAMED = 3

#: A host's preference and its targets, in the order to try.
RankedTargets = tuple[int, tuple[Target, ...]]


class Reachable:
    """Looks hosts up, and keeps the addresses that `refusal` has nothing against."""

    def __init__(
        self, resolver: Resolver, refusal: Callable[[str], str], port: int, expires: float
    ) -> None:
        self.hosts: list[RankedTargets] = []
        #: Until when all of it holds.
        self.expires = expires
        #: Those whose addresses are signed.
        self.signed: set[str] = set()
        self._resolver = resolver
        self._refusal = refusal
        self._port = port
        self._refused: list[str] = []
        self._failures: list[str] = []
        self._missing: list[str] = []

    async def gather(self, hosts: Sequence[tuple[int, str]], at_once: int) -> None:
        """Look up `at_once` of the hosts, best first, and as many more while none is reachable."""
        for start in range(0, len(hosts), at_once):
            some = hosts[start : start + at_once]
            answers = await asyncio.gather(*(self._resolver.addresses(name) for _, name in some))
            for (preference, name), answer in zip(some, answers, strict=True):
                self._add(preference, name, answer)
            if self.hosts:
                return

    def failure(self, domain: str) -> RouteFailure:
        """Why none is reachable."""
        return unreachable(
            domain,
            refused=self._refused[:_MOST_NAMED],
            failures=self._failures,
            missing=self._missing[:_MOST_NAMED],
        )

    def _add(self, preference: int, host: str, answer: HostAddresses) -> None:
        self.expires = min(self.expires, answer.expires)
        if isinstance(answer, LookupFailed):
            self._failures.append(answer.reason)
            return
        if not isinstance(answer, Addresses):
            self._missing.append(host)
            return
        if answer.signed:
            self.signed.add(host)
        targets = []
        for address in answer.addresses:
            why = self._refusal(address)
            if why:
                self._refused.append(f"{host} [{address}], which is {why}")
            else:
                targets.append(Target(host, address, self._port))
        if targets:
            self.hosts.append((preference, tuple(targets)))
