"""Where a domain's deliveries go: its site and the addresses to try, by the route table or the DNS.

Addresses are looked up at once and not during an attempt: an attempt holds a place on its egress
path and leased deliveries, and must not hold them while it waits for the DNS. A session connects
to the very address that was checked here, never to a name, so a name that is made to lead elsewhere
a moment later changes nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address

from msgspec import Struct

from relay.delivery.reachable import RankedTargets, Reachable
from relay.delivery.securing import NO_STS, Securing, SecurityOptions, Subject
from relay.delivery.unroutable import (
    RouteFailure,
    bad_literal,
    looping,
    unknown,
    unreachable,
    unroutable,
)
from relay.lookup.answers import Hosts
from relay.lookup.cache import Cache
from relay.lookup.mta_sts import MtaSts, Sts
from relay.lookup.own import is_own
from relay.lookup.resolver import Resolver
from relay.policy.endpoint import Endpoint
from relay.policy.hosts import candidates, in_order, without_own
from relay.policy.names import normal
from relay.policy.needs import Need, parted
from relay.policy.routes import RouteTable
from relay.policy.site import site_name, site_of_smart_host
from relay.policy.targets import networks, plain, refusal
from relay.policy.tls import key_of
from relay.smtp.options import Target

#: How long what the settings alone decide is kept, in seconds: they do not change.
_FIXED = 3600.0
#: How long it is kept at most that none of a domain's hosts may be used, in seconds.
_UNSAFE = 300.0

#: Addresses whose verdict by the settings is kept.
_MOST_JUDGED = 10_000


class RouteOptions(Struct, frozen=True):
    """How domains are routed."""

    #: Domain or `*` -> smart host: host:port or [address]:port. A domain's own entry wins.
    routes: Mapping[str, str] = {}
    #: The port of hosts found by MX, and of smart hosts without one.
    port: int = 25
    #: Addresses that are tried at most, of all hosts of a domain together.
    most_addresses: int = 5
    #: Networks that may be connected to although they are private, loopback or our own.
    allowed: tuple[str, ...] = ()
    #: Names by which we are an MX host; these hosts, and what is no better, are left out.
    own_names: frozenset[str] = frozenset()
    #: Own addresses that this machine does not have itself, such as those of a load balancer.
    own_addresses: frozenset[str] = frozenset()
    #: Whether mail to user@[192.0.2.1] is delivered.
    address_literals: bool = False
    security: SecurityOptions = SecurityOptions()
    #: Routes that are kept at most.
    cache_size: int = 100_000


class Route(Struct, frozen=True):
    """A domain's site and what to connect to, in the order to try.

    `hosts` has all targets by host, with the host's preference, for `order`.
    """

    site: str
    candidates: tuple[Target, ...]
    source: str = ""
    hosts: tuple[RankedTargets, ...] = ()
    #: What sessions with these hosts need, as a key: one is used for mail of the same key alone.
    security: str = ""
    need: Need = Need.USUAL

    def order(self, chance: Callable[[], float] = random.random) -> tuple[Target, ...]:
        """The candidates with hosts of equal preference in a new random order, for one attempt."""
        if len(self.hosts) < 2:
            return self.candidates
        ranked = sorted(self.hosts, key=lambda host: (host[0], chance()))
        return candidates([targets for _, targets in ranked], len(self.candidates))


class _Kept(Struct, frozen=True):
    """A route or its lack, with the time until which it holds."""

    found: Route | RouteFailure
    expires: float


class Router:
    """Finds routes and keeps them as long as the DNS says. Made and used on one event loop."""

    def __init__(
        self,
        resolver: Resolver,
        options: RouteOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        is_own: Callable[[str], bool] = is_own,
        sts: MtaSts | None = None,
    ) -> None:
        self._sts = sts
        self._securing = Securing((options or RouteOptions()).security, resolver, sts)
        self._is_own = is_own
        self._resolver = resolver
        self._options = options or RouteOptions()
        self._clock = clock
        self._chance = chance
        self._table = RouteTable(self._options.routes, self._options.port)
        self._allowed = networks(self._options.allowed)
        self._own_names = frozenset(normal(name) for name in self._options.own_names)
        self._own = frozenset(ip_address(address) for address in self._options.own_addresses)
        # Judged anew it would be at each route and twice at each connection.
        self._judged = lru_cache(maxsize=_MOST_JUDGED)(self._judge)
        self._kept: Cache[str, _Kept] = Cache(self._options.cache_size)
        self._finding: dict[str, asyncio.Task[Route | RouteFailure]] = {}

    def cached(self, queue: str) -> Route | RouteFailure | None:
        """What is known of the queue's route now; None where `route` has to find it."""
        kept = self._kept.get(queue, self._clock())
        return None if kept is None else kept.found

    async def route(self, queue: str) -> Route | RouteFailure:
        """The route of a queue: of a domain (an A-label in lower case) as `relay.policy.needs`
        names it for mail with a need. It is found once, however many wait for it."""
        known = self.cached(queue)
        if known is not None:
            return known
        task = self._finding.get(queue)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._find(queue))
            self._finding[queue] = task
        # Shielded: one who gives up waiting does not take the route from the others.
        return await asyncio.shield(task)

    def refusal(self, address: str) -> str:
        """Why the address of a host that the DNS named may not be connected to; "" if it may."""
        why, target, where_own = self._judged(address)
        return why or (where_own if where_own and self._is_own(target) else "")

    def _judge(self, address: str) -> tuple[str, str, str]:
        """Why an address is refused whoever has it; what it is in plain; and why where it is this
        machine's."""
        why = refusal(address, allowed=self._allowed, own=self._own)
        if why:
            return why, "", ""
        target = plain(ip_address(address))
        return "", str(target), refusal(address, allowed=self._allowed, own={target})

    def may_connect(self, address: str) -> bool:
        """The check to make once more on the address of a connection.

        What the DNS led to has been judged by then, when the route was made, so this lets through
        the addresses that the route table itself names.
        """
        return address in self._table.addresses or not self.refusal(address)

    async def close(self) -> None:
        """Give up routes that are being found, the resolver too; whoever waits is cancelled."""
        finding = list(self._finding.values())
        for task in finding:
            task.cancel()
        await asyncio.gather(*finding, return_exceptions=True)
        self._finding.clear()
        if self._sts is not None:
            await self._sts.close()
        await self._resolver.close()

    async def _find(self, queue: str) -> Route | RouteFailure:
        try:
            try:
                domain, need = parted(queue)
            except ValueError:
                kept = _Kept(unknown(queue), self._clock() + _FIXED)
            else:
                kept = await self._decide(domain, need)
            self._kept.put(queue, kept)
            return kept.found
        finally:
            self._finding.pop(queue, None)

    async def _decide(self, domain: str, need: Need) -> _Kept:
        smart_host = self._table.find(domain)
        if smart_host is not None:
            return await self._to_smart_host(domain, need, smart_host)
        if domain.startswith("["):
            found = self._to_literal(domain)
            if isinstance(found, RouteFailure):
                return _Kept(found, self._clock() + _FIXED)
            subject = Subject(domain, need, (domain,), configured=True)
            return await self._to_addresses(subject, found.site, found.candidates[0])
        return await self._to_mx(domain, need)

    async def _to_mx(self, domain: str, need: Need) -> _Kept:
        found, sts = await asyncio.gather(
            self._resolver.mail_hosts(domain), self._securing.sts(domain, need)
        )
        if not isinstance(found, Hosts):
            failure = unroutable(domain, found, all_families=self._resolver.all_families)
            return _Kept(failure, found.expires)
        hosts = in_order(without_own(found.mx, self._own_names), self._chance)
        if not hosts:
            return _Kept(looping(domain), found.expires)
        site = site_name(name for _, name in found.mx)
        reachable = Reachable(self._resolver, self.refusal, self._options.port, found.expires)
        await reachable.gather(hosts, self._options.most_addresses)
        subject = Subject(domain, need, (domain,))
        return await self._to_hosts(subject, site, reachable, sts=sts, mx_signed=found.signed)

    async def _to_smart_host(self, domain: str, need: Need, smart_host: Endpoint) -> _Kept:
        """What the settings name as an address they also allow; a name leads where the DNS says."""
        site = site_of_smart_host(smart_host)
        subject = Subject(domain, need, (smart_host.host, domain), configured=True)
        if smart_host.is_address:
            target = Target(smart_host.host, smart_host.host, smart_host.port)
            return await self._to_addresses(subject, site, target)
        reachable = Reachable(self._resolver, self.refusal, smart_host.port, self._clock() + _FIXED)
        await reachable.gather([(0, smart_host.host)], self._options.most_addresses)
        return await self._to_hosts(subject, site, reachable)

    async def _to_addresses(self, subject: Subject, site: str, target: Target) -> _Kept:
        """To one that the settings or the recipient's address name, without asking the DNS."""
        found = await self._securing.secure(subject, [(0, (target,))])
        expires = self._clock() + _FIXED
        if isinstance(found, RouteFailure):
            return _Kept(found, expires)
        targets = found.hosts[0][1]
        key = key_of((one.host, one.needs) for one in targets)
        return _Kept(Route(site, targets, security=key, need=subject.need), expires)

    async def _to_hosts(
        self,
        subject: Subject,
        site: str,
        reachable: Reachable,
        *,
        sts: Sts = NO_STS,
        mx_signed: bool = False,
    ) -> _Kept:
        if not reachable.hosts:
            return _Kept(reachable.failure(subject.domain), reachable.expires)
        found = await self._securing.secure(
            subject, reachable.hosts, sts=sts, mx_signed=mx_signed, signed_hosts=reachable.signed
        )
        if isinstance(found, RouteFailure):
            return _Kept(found, min(reachable.expires, sts.expires, self._clock() + _UNSAFE))
        ranked = found.hosts
        order = candidates([targets for _, targets in ranked], self._options.most_addresses)
        key = key_of((one.host, one.needs) for _, targets in ranked for one in targets)
        route = Route(site, order, hosts=ranked, security=key, need=subject.need)
        return _Kept(route, min(reachable.expires, found.expires))

    def _to_literal(self, domain: str) -> Route | RouteFailure:
        """For [192.0.2.1] or [IPv6:2001:db8::1] (RFC 5321 section 4.1.3)."""
        if not self._options.address_literals or not domain.endswith("]"):
            return bad_literal(domain)
        try:
            address = str(ip_address(domain[1:-1].lower().removeprefix("ipv6:")))
        except ValueError:
            return bad_literal(domain)
        why = self.refusal(address)
        if why:
            return unreachable(domain, refused=[f"{address}, which is {why}"])
        return Route(f"[{address}]", (Target(domain, address, self._options.port),))
