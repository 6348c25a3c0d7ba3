"""Fetching MTA-STS policies over HTTPS (RFC 8461 section 3.3): the only place here with httpx.

The connection goes to an address that was looked up and judged as those of mail hosts are, so that
nobody's policy leads into our own network; the certificate must be for the policy host's name.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import httpx

from relay.lookup.answers import Addresses, LookupFailed
from relay.lookup.resolver import Resolver
from relay.policy.mta_sts import LARGEST_POLICY

#: Addresses of a policy host that are tried.
_MOST_ADDRESSES = 3
#: Policies that are fetched at once; who comes later waits for a place.
_MOST_AT_ONCE = 20
#: Seconds for one fetch, all addresses together; RFC 8461 section 3.3 suggests a minute at most.
_TIMEOUT = 10.0


class NotFetched(Exception):
    """There is no policy to be had; the text says why, as an operator reads it."""


class PolicyFiles:
    """Fetches policies. `refusal` says why an address may not be connected to, "" where it may."""

    def __init__(
        self,
        resolver: Resolver,
        refusal: Callable[[str], str],
        *,
        authorities: str = "",
        port: int = 443,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._resolver = resolver
        self._refusal = refusal
        self._trust = ssl.create_default_context(cafile=authorities or None)
        self._port = port
        self._timeout = timeout
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    async def fetch(self, domain: str) -> bytes:
        """The octets of the domain's policy file. Raises NotFetched."""
        host = f"mta-sts.{domain}"
        try:
            async with asyncio.timeout(self._timeout), self._places:
                return await self._fetch(host)
        except TimeoutError:
            raise NotFetched(f"{host} did not answer within {self._timeout:g} s") from None

    async def _fetch(self, host: str) -> bytes:
        found = await self._resolver.addresses(host)
        if isinstance(found, LookupFailed):
            raise NotFetched(found.reason)
        addresses = found.addresses if isinstance(found, Addresses) else ()
        permitted = [address for address in addresses if not self._refusal(address)]
        if not permitted:
            raise NotFetched(f"{host} has no address that may be connected to")
        why = ""
        async with httpx.AsyncClient(
            verify=self._trust, trust_env=False, follow_redirects=False, timeout=self._timeout
        ) as client:
            for address in permitted[:_MOST_ADDRESSES]:
                try:
                    return await self._read(client, host, address)
                except httpx.TransportError as error:
                    why = str(error) or type(error).__name__
        raise NotFetched(f"{host}: {why}")

    async def _read(self, client: httpx.AsyncClient, host: str, address: str) -> bytes:
        place = f"[{address}]" if ":" in address else address
        url = f"https://{place}:{self._port}/.well-known/mta-sts.txt"
        async with client.stream(
            "GET", url, headers={"Host": host}, extensions={"sni_hostname": host}
        ) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if response.status_code != 200:
                raise NotFetched(f"{host} answers with {response.status_code}, not 200")
            if kind != "text/plain":
                raise NotFetched(f"{host} answers with another type than text/plain")
            content = bytearray()
            async for piece in response.aiter_raw(16 << 10):
                content += piece
                if len(content) > LARGEST_POLICY:
                    raise NotFetched(f"{host} has a policy of more than {LARGEST_POLICY} octets")
            return bytes(content)
