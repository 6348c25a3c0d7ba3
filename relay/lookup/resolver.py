"""Asking the DNS which hosts take a domain's mail, and at what addresses they are.

Answers are kept as long as they say, equal questions on their way are asked once, and no number of
slow domains keeps a quick one waiting for long: a question's first try has slots that only first
tries use, for one timeout at most; what is tried again waits for slots of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import dns.exception
import dns.resolver
from msgspec import Struct

from relay import metrics
from relay.errors import ConfigError
from relay.lookup import wire
from relay.lookup.answers import (
    Addresses,
    HostAddresses,
    Hosts,
    LookupFailed,
    MailHosts,
    NoAddress,
    NoSuchDomain,
    NullMx,
    Texts,
    TlsaRecords,
)
from relay.lookup.cache import Cache
from relay.lookup.exchange import NoAnswer, TimedOut, ask
from relay.policy.endpoint import Endpoint, parse_endpoint
from relay.policy.names import is_name, normal
from relay.policy.tls import Tlsa

DNS_PORT = 53
_SERVFAIL = wire.RCODE_NAMES[2]
_FAMILIES = {"ipv4": wire.A, "ipv6": wire.AAAA}


class ResolverOptions(Struct, frozen=True):
    """How the DNS is asked. Times are in seconds."""

    #: Servers to ask, each an address, with a port where it is not 53; none: the system's.
    nameservers: tuple[str, ...] = ()
    #: Families of addresses that are used, the one to try first in front.
    families: tuple[str, ...] = ("ipv4", "ipv6")
    #: How long one server is waited for.
    timeout: float = 3.0
    #: All tries of one question together.
    lifetime: float = 10.0
    #: How often a server that says nothing is asked.
    tries: int = 3
    #: Questions on their way at once for the first time; as many again for later tries.
    concurrency: int = 256
    #: The shortest and the longest time an answer is kept, whatever it says.
    least_ttl: float = 5.0
    most_ttl: float = 3600.0
    #: The longest time it is kept that there is no such name or record.
    most_negative_ttl: float = 300.0
    #: How long it is kept that no usable answer was to be had.
    failure_ttl: float = 10.0
    #: Answers that are kept at most.
    cache_size: int = 100_000
    #: The size an answer over UDP may have (EDNS; 1232 octets go through without fragments).
    payload: int = 1232
    #: MX hosts of a domain that are looked at, the best first.
    most_hosts: int = 20
    #: Whether the servers validate (DNSSEC) and are trusted to say so, for DANE.
    validating: bool = False


class LookupCounts:
    """What the resolver has done since it was made."""

    __slots__ = ("cached", "coalesced", "failures", "queries", "timeouts")

    def __init__(self) -> None:
        self.queries = 0
        self.timeouts = 0
        self.failures = 0
        self.cached = 0
        self.coalesced = 0


class _Records(Struct, frozen=True):
    """The records of one name and type; none where the name exists without them."""

    records: tuple[wire.Record, ...]
    expires: float
    signed: bool = False


_Answer = _Records | NoSuchDomain | LookupFailed
_Key = tuple[str, int]


class Resolver:
    """Answers about domains and hosts; made and used on one event loop."""

    def __init__(
        self,
        options: ResolverOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options or ResolverOptions()
        self._clock = clock
        self._servers = nameservers(self._options)
        self._types = tuple(_FAMILIES[family] for family in self._options.families)
        self._cache: Cache[_Key, _Answer] = Cache(self._options.cache_size)
        self._asking: dict[_Key, asyncio.Task[_Answer]] = {}
        self._first = asyncio.Semaphore(self._options.concurrency)
        self._again = asyncio.Semaphore(self._options.concurrency)
        self.counts = LookupCounts()

    async def mail_hosts(self, domain: str) -> MailHosts:
        """The hosts that take the mail of `domain`, an A-label (RFC 5321 section 5.1)."""
        name = normal(domain)
        found = await self._lookup(name, wire.MX)
        if not isinstance(found, _Records):
            return found
        if found.records:
            return self._hosts(found)
        own = await self.addresses(name)
        expires = min(found.expires, own.expires)
        if isinstance(own, Addresses):
            signed = found.signed and own.signed
            return Hosts(((0, name),), implicit=True, expires=expires, signed=signed)
        if isinstance(own, LookupFailed):
            return own
        return NoAddress(expires)

    async def addresses(self, host: str) -> HostAddresses:
        """The addresses of a host, of all families that are used.

        They hold as long as their own records do: a family that the host lacks is asked for again
        with the one that it has, for many servers name no time for what is not there.
        """
        name = normal(host)
        asking = [self._start(name, rdtype) for rdtype in self._types]
        found = [await self._wait(each) for each in asking]
        some = [each for each in found if isinstance(each, _Records) and each.records]
        addresses = tuple(
            record for each in some for record in each.records if isinstance(record, str)
        )
        counting = [each for each in found if each in some or isinstance(each, LookupFailed)]
        expires = min(each.expires for each in (counting if addresses else found))
        if addresses:
            signed = all(each.signed for each in found if isinstance(each, _Records))
            return Addresses(addresses, expires, signed)
        for each in found:
            if isinstance(each, LookupFailed):
                return each
        if all(isinstance(each, NoSuchDomain) for each in found):
            return NoSuchDomain(expires)
        return NoAddress(expires)

    async def texts(self, name: str) -> Texts | LookupFailed:
        """The TXT records of a name that are of MTA-STS (RFC 8461 section 3.1)."""
        found = await self._lookup(normal(name), wire.TXT)
        if not isinstance(found, _Records):
            return found if isinstance(found, LookupFailed) else Texts((), found.expires)
        texts = tuple(record for record in found.records if isinstance(record, str))
        return Texts(texts, found.expires)

    async def tlsa(self, host: str, port: int) -> TlsaRecords | LookupFailed:
        """The TLSA records of a host's port (RFC 6698 section 3), where they are signed."""
        found = await self._lookup(f"_{port}._tcp.{normal(host)}", wire.TLSA)
        if not isinstance(found, _Records):
            return found if isinstance(found, LookupFailed) else TlsaRecords((), found.expires)
        records = tuple(one for one in found.records if isinstance(one, Tlsa) and found.signed)
        return TlsaRecords(records, found.expires)

    @property
    def all_families(self) -> bool:
        """Addresses of every family are asked for, so a host without any has none."""
        return len(self._types) == len(_FAMILIES)

    async def close(self) -> None:
        """Give up what is being asked; whoever still waits for it is cancelled."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        self._asking.clear()
        self._cache.clear()

    def _hosts(self, found: _Records) -> MailHosts:
        """A domain with MX is never its own implicit host, even where no MX can be used."""
        if found.records == ((0, ""),):
            return NullMx(found.expires)
        best: dict[str, int] = {}
        for record in found.records:
            if isinstance(record, tuple) and is_name(record[1]):
                preference, name = record
                best[name] = min(preference, best.get(name, preference))
        if not best:
            return LookupFailed("no MX record names a host", found.expires)
        mx = sorted((preference, name) for name, preference in best.items())
        hosts = tuple(mx[: self._options.most_hosts])
        return Hosts(hosts, implicit=False, expires=found.expires, signed=found.signed)

    async def _lookup(self, name: str, rdtype: int) -> _Answer:
        return await self._wait(self._start(name, rdtype))

    def _start(self, name: str, rdtype: int) -> _Answer | asyncio.Task[_Answer]:
        """The answer where it is known, else the one task that asks for it."""
        key = name, rdtype
        now = self._clock()
        known = self._cache.get(key, now)
        if known is not None:
            self.counts.cached += 1
            metrics.DNS_HITS.inc()
            return known
        task = self._asking.get(key)
        if task is not None:
            self.counts.coalesced += 1
            return task
        if not is_name(name):
            return NoSuchDomain(now + self._options.most_negative_ttl)
        task = asyncio.get_running_loop().create_task(self._find(wire.question(name, rdtype)))
        self._asking[key] = task
        return task

    @staticmethod
    async def _wait(asking: _Answer | asyncio.Task[_Answer]) -> _Answer:
        # Shielded: one who gives up waiting does not take the answer from the others.
        return await asyncio.shield(asking) if isinstance(asking, asyncio.Task) else asking

    async def _find(self, asked: wire.Question) -> _Answer:
        key = asked.name, asked.rdtype
        began = self._clock()
        try:
            answer = await self._ask_all(asked)
            self._cache.put(key, answer)
            metrics.DNS_SECONDS.observe(self._clock() - began)
            return answer
        finally:
            self._asking.pop(key, None)

    async def _ask_all(self, asked: wire.Question) -> _Answer:
        """Ask server after server: again who said nothing, no more who said something unusable."""
        deadline = self._clock() + self._options.lifetime
        reason, slots = "no server was asked", self._first
        answered: set[Endpoint] = set()
        for server in self._turns():
            if server in answered or self._clock() >= deadline:
                continue
            try:
                async with slots:
                    answer = await self._ask(server, asked, deadline)
            except TimedOut as error:
                self.counts.timeouts += 1
                _count(asked, "timeout")
                reason = f"{server}: {error}"
            except NoAnswer as error:
                answered.add(server)
                _count(asked, "servfail" if str(error) == _SERVFAIL else metrics.OTHER)
                reason = f"{server}: {error}"
            else:
                self._prefer(server)
                _count(asked, _result(answer))
                return answer
            slots = self._again
        self.counts.failures += 1
        return LookupFailed(f"{asked}, {reason}", self._clock() + self._options.failure_ttl)

    def _turns(self) -> Iterator[Endpoint]:
        servers = self._servers
        for _ in range(self._options.tries):
            yield from servers

    def _prefer(self, server: Endpoint) -> None:
        """Ask the server that answers first from now on, so that a dead one costs little."""
        if self._servers[0] != server:
            self._servers = (server, *(each for each in self._servers if each != server))

    async def _ask(self, server: Endpoint, asked: wire.Question, deadline: float) -> _Answer:
        options = self._options
        self.counts.queries += 1
        timeout = min(options.timeout, max(deadline - self._clock(), 0.0))
        response = await ask(
            server, asked, timeout=timeout, payload=options.payload, authentic=options.validating
        )
        if response.rcode not in (wire.NOERROR, wire.NXDOMAIN):
            raise NoAnswer(wire.RCODE_NAMES.get(response.rcode, f"RCODE {response.rcode}"))
        if response.unfinished:
            raise NoAnswer("it does not look names up for us (a referral)")
        now, signed = self._clock(), options.validating and response.authentic
        if response.records:
            ttl = min(max(response.ttl, options.least_ttl), options.most_ttl)
            return _Records(response.records, now + ttl, signed)
        negative = response.negative_ttl or 0
        expires = now + min(max(negative, options.least_ttl), options.most_negative_ttl)
        if response.rcode == wire.NXDOMAIN:
            return NoSuchDomain(expires)
        return _Records((), expires, signed)


def _result(answer: _Answer) -> str:
    if isinstance(answer, _Records):
        return "answer" if answer.records else "none"
    return "nxdomain"


def _count(asked: wire.Question, result: str) -> None:
    metrics.DNS_QUERIES[wire.TYPE_NAMES[asked.rdtype], result].inc()


def nameservers(options: ResolverOptions) -> tuple[Endpoint, ...]:
    """The servers to ask. Raises ConfigError where none is named, here or by the system."""
    if options.nameservers:
        servers = tuple(parse_endpoint(text, DNS_PORT) for text in options.nameservers)
        names = [str(server) for server in servers if not server.is_address]
        if names:
            raise ConfigError([f"nameservers: {name} is no address" for name in names])
        return servers
    try:
        system = dns.resolver.Resolver()
    except dns.exception.DNSException:
        raise ConfigError(
            ["nameservers: the system names none (/etc/resolv.conf); give one, such as 192.0.2.53"]
        ) from None
    return tuple(Endpoint(str(address), system.port) for address in system.nameservers)
