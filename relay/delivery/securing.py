"""What TLS the hosts of a domain need, found out before any of them is connected to.

The settings' table, the domain's MTA-STS policy and its hosts' TLSA records are put together by
`relay.policy.tls`; what they make of a host goes with its targets.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct, structs

from relay.delivery.reachable import RankedTargets
from relay.delivery.unroutable import RouteFailure, unauthentic, unsafe, unsure
from relay.lookup.answers import LookupFailed
from relay.lookup.mta_sts import MtaSts, Sts
from relay.lookup.resolver import Resolver
from relay.policy.needs import Need
from relay.policy.tls import (
    NOTHING,
    HostRecords,
    Published,
    Requirement,
    TlsPolicies,
    TlsPolicy,
    is_authentic,
    of_host,
)
from relay.smtp.options import Target


class SecurityOptions(Struct, frozen=True):
    """What the settings want of TLS with hosts."""

    #: For every domain that is not in the table (relay.policy.tls.policy_of).
    default: str = "opportunistic"
    table: Mapping[str, str] = {}
    #: Whether TLSA records are looked up; the resolver must validate.
    dane: bool = False


class Subject(Struct, frozen=True):
    """Mail of one need to one domain, or to the smart host `names` it is handed to."""

    domain: str
    need: Need
    #: By which the table is asked, the first one that it knows wins.
    names: tuple[str, ...]
    #: The hosts come from the settings, so that nothing else has to say whose they are.
    configured: bool = False


class Secured(Struct, frozen=True):
    """Hosts with what each needs, in the order they had, and until when that holds."""

    hosts: tuple[RankedTargets, ...]
    expires: float


#: Where no policy was asked for.
NO_STS = Sts(None, math.inf)


class Securing:
    """Asks the resolver and, where there is one, `sts`."""

    def __init__(self, options: SecurityOptions, resolver: Resolver, sts: MtaSts | None) -> None:
        self._policies = TlsPolicies(options.default, options.table)
        self._dane = options.dane
        self._resolver = resolver
        self._sts = sts

    async def sts(self, domain: str, need: Need) -> Sts:
        """The domain's MTA-STS policy, where it counts."""
        if self._sts is None or self._exempt(domain, need):
            return NO_STS
        return await self._sts.find(domain)

    async def secure(
        self,
        subject: Subject,
        ranked: Sequence[RankedTargets],
        *,
        sts: Sts = NO_STS,
        mx_signed: bool = False,
        signed_hosts: Collection[str] = (),
    ) -> Secured | RouteFailure:
        """The hosts that may be used; why there is none. `signed_hosts`: with signed addresses."""
        policy = self._policy(subject)
        published = Published(mx_signed or subject.configured, sts.policy)
        exempt = any(self._exempt(name, subject.need) for name in subject.names)
        if subject.need is Need.REQUIRED and not is_authentic(policy, published):
            return unsure(subject.domain, sts.unsure) if sts.unsure else unauthentic(subject.domain)
        records: dict[str, tuple[HostRecords, float]] = {}
        if self._dane and published.signed and not exempt:
            records = await self._records(ranked, signed_hosts)
        hosts: list[RankedTargets] = []
        unfit: list[str] = []
        for preference, targets in ranked:
            host = targets[0].host
            of, _ = records.get(host, (None, 0.0))
            needs = of_host(host, subject.need, policy, NOTHING if exempt else published, of)
            if isinstance(needs, str):
                unfit.append(needs)
            else:
                hosts.append((preference, self._with(targets, needs)))
        if not hosts:
            return unsafe(subject.domain, unfit)
        return Secured(tuple(hosts), min([sts.expires, *(until for _, until in records.values())]))

    def _policy(self, subject: Subject) -> TlsPolicy:
        for name in subject.names:
            found = self._policies.find(name)
            if found is not None:
                return found
        return self._policies.usual(subject.domain)

    def _exempt(self, name: str, need: Need) -> bool:
        """The operator lets the domain's mail go without TLS, whatever the domain says."""
        found = self._policies.find(name)
        return found is not None and found.lax and need is not Need.REQUIRED

    def _with(self, targets: tuple[Target, ...], needs: Requirement) -> tuple[Target, ...]:
        """The targets, with what they need where that is not the default."""
        if needs == Requirement(self._policies.default.mode):
            return targets
        return tuple(structs.replace(target, needs=needs) for target in targets)

    async def _records(
        self, ranked: Sequence[RankedTargets], signed: Collection[str]
    ) -> dict[str, tuple[HostRecords, float]]:
        """TLSA records by host, of hosts whose addresses are signed (RFC 7672 section 2.2.2)."""
        hosts = {
            targets[0].host: targets[0].port for _, targets in ranked if targets[0].host in signed
        }
        found = await asyncio.gather(*(self._resolver.tlsa(*host) for host in hosts.items()))
        return {
            host: (
                HostRecords(failure=one.reason)
                if isinstance(one, LookupFailed)
                else HostRecords(one.records),
                one.expires,
            )
            for host, one in zip(hosts, found, strict=True)
        }
