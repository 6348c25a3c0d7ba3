"""Which site each of many domains leads to, by the route table and the DNS, as workers find it.

A domain's site is the DNS's to say, so it is asked now: what the store knows of sites is of those
alone that mail was sent to of late, and says nothing of the domains behind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from relay.lookup.answers import Hosts, MailHosts
from relay.policy.routes import RouteTable
from relay.policy.site import site_name, site_of_smart_host

#: Domains that are looked up at a time.
_AT_ONCE = 50


class FindsHosts(Protocol):
    """What knows a domain's hosts: `relay.lookup.resolver.Resolver`."""

    async def mail_hosts(self, domain: str) -> MailHosts:
        """The hosts that take a domain's mail."""
        ...


class Sites:
    """Finds sites; of a domain without hosts, or one that cannot be looked up, none is known."""

    def __init__(self, resolver: FindsHosts, table: RouteTable) -> None:
        self._resolver = resolver
        self._table = table

    async def of(self, domains: Collection[str]) -> dict[str, str]:
        """Domain (an A-label in lower case) -> its site, "" where none is known."""
        waiting = sorted(domains, reverse=True)
        found: dict[str, str] = {}

        async def ask() -> None:
            while waiting:
                domain = waiting.pop()
                found[domain] = await self._site(domain)

        await asyncio.gather(*(ask() for _ in range(min(_AT_ONCE, len(waiting)))))
        return found

    async def _site(self, domain: str) -> str:
        smart_host = self._table.find(domain)
        if smart_host is not None:
            return site_of_smart_host(smart_host)
        if domain.startswith("["):
            return domain
        answer = await self._resolver.mail_hosts(domain)
        return site_name(name for _, name in answer.mx) if isinstance(answer, Hosts) else ""
