"""What other hosts see of this one: its name in the DNS, and port 25 outward."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

from relay.config import Settings
from relay.console.doctor.check import Check, error, ok, warning
from relay.lookup.answers import Addresses, LookupFailed
from relay.lookup.plain import PlainLookup
from relay.lookup.resolver import Resolver
from relay.policy.endpoint import Endpoint

#: Seconds for connecting, and for a greeting.
_PATIENCE = 10.0


async def name(settings: Settings, resolver: Resolver, lookup: PlainLookup) -> AsyncIterator[Check]:
    """Whether the DNS answers, and agrees with the name that is given in EHLO.

    Receivers look an address's PTR up, and that name's addresses, and want to find the same.
    """
    hello = settings.delivery.ehlo_name or settings.smtp.hostname or socket.getfqdn()
    remedy = "set delivery.ehlo_name to a name that the DNS has with this host's public address"
    found = await resolver.addresses(hello)
    if isinstance(found, LookupFailed):
        fix = "set delivery.nameservers to servers that answer, or mend the system's"
        yield error("dns", f"no usable answer: {found.reason}", fix)
        return
    yield ok("dns", "it answers")
    if "." not in hello.strip("."):
        yield warning("name", f"{hello}, as given in EHLO, is no full host name", remedy)
        return
    if not isinstance(found, Addresses):
        yield warning("name", f"{hello}, as given in EHLO, has no address in the DNS", remedy)
        return
    source = settings.delivery.source_address
    if source and source not in found.addresses:
        text = f"{hello} has the addresses {', '.join(found.addresses)}, and not {source}"
        yield warning("name", text, f"add {source} there: mail leaves from it")
    for address in dict.fromkeys([source] if source else found.addresses):
        yield await _reverse(lookup, hello, address)


async def _reverse(lookup: PlainLookup, hello: str, address: str) -> Check:
    names = await lookup.names(address)
    if isinstance(names, LookupFailed):
        return warning("name", f"no PTR of {address}: {names.reason}", "ask again later")
    remedy = f"have the owner of the address set its PTR to {hello}"
    if not names:
        text = f"{address} has no PTR: large receivers refuse mail from it"
        return warning("name", text, remedy)
    if hello.lower().rstrip(".") not in names:
        return warning("name", f"the PTR of {address} is {', '.join(names)}, not {hello}", remedy)
    return ok("name", f"{hello} has {address}, and its PTR is {hello}")


async def port(target: Endpoint, resolver: Resolver) -> Check:
    """Whether a connection to a host outside is let through, and an SMTP server greets."""
    remedy = "let connections to this port out: many providers block it until they are asked"
    if target.is_address:
        addresses: tuple[str, ...] = (target.host,)
    else:
        found = await resolver.addresses(target.host)
        if not isinstance(found, Addresses):
            return error("port", f"{target.host} has no address", "name a host that takes mail")
        addresses = found.addresses
    why = ""
    for address in addresses[:2]:
        try:
            greeting = await _greeting(address, target.port)
        except TimeoutError:
            why = f"{address} port {target.port}: no answer within {_PATIENCE:g} s"
        except OSError as problem:
            reason = os.strerror(problem.errno) if problem.errno else str(problem)
            why = f"{address} port {target.port}: {reason}"
        else:
            if greeting.startswith("220"):
                return ok("port", f"{address} port {target.port} greets: {greeting}")
            return warning("port", f"{address} says: {greeting}", "ask its operator why")
    return error("port", why, remedy)


async def _greeting(address: str, number: int) -> str:
    """The first line that a server says. Raises OSError, TimeoutError."""
    async with asyncio.timeout(_PATIENCE):
        reader, writer = await asyncio.open_connection(address, number, limit=4096)
        try:
            line = await reader.readline()
            writer.write(b"QUIT\r\n")
            return line.decode("utf-8", "replace").strip() or "nothing"
        except ValueError:
            return "a line without an end"
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
