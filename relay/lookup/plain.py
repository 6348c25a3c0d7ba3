"""TXT and PTR records, for what looks at a set-up now and then: nothing is kept or shared.

What mail needs by the thousand is asked by `relay.lookup.resolver`.
"""

from __future__ import annotations

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdata
import dns.resolver
import dns.reversename
from dns.rdtypes.nsbase import NSBase
from dns.rdtypes.txtbase import TXTBase

from relay.lookup.answers import LookupFailed
from relay.lookup.resolver import ResolverOptions, nameservers

#: Nothing is kept, so nothing expires.
_NEVER = 0.0


class PlainLookup:
    """Asks the servers that the options name, or the system's."""

    def __init__(self, options: ResolverOptions) -> None:
        """Raises ConfigError where no server is named, here or by the system."""
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [
            dns.nameserver.Do53Nameserver(server.host, server.port)
            for server in nameservers(options)
        ]
        self._lifetime = options.lifetime

    async def texts(self, name: str) -> tuple[str, ...] | LookupFailed:
        """The TXT records of a name, each in one piece; none where there is no such name."""
        found = await self._ask(name, "TXT")
        if isinstance(found, LookupFailed):
            return found
        return tuple(
            b"".join(record.strings).decode("utf-8", "replace")
            for record in found
            if isinstance(record, TXTBase)
        )

    async def names(self, address: str) -> tuple[str, ...] | LookupFailed:
        """The names that the PTR records of an address give."""
        found = await self._ask(dns.reversename.from_address(address).to_text(), "PTR")
        if isinstance(found, LookupFailed):
            return found
        return tuple(
            record.target.to_text(omit_final_dot=True).lower()
            for record in found
            if isinstance(record, NSBase)
        )

    async def _ask(self, name: str, rdtype: str) -> list[dns.rdata.Rdata] | LookupFailed:
        try:
            answer = await self._resolver.resolve(
                name, rdtype, lifetime=self._lifetime, search=False, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return []
        except dns.exception.DNSException as error:
            return LookupFailed(f"{name} {rdtype}: {error}".split("\n", 1)[0], _NEVER)
        return list(answer)
