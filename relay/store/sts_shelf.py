"""MTA-STS policies as all workers share them: one key a domain, which expires with its policy."""

from __future__ import annotations

from relay.errors import StoreUnavailable
from relay.store.client import StoreClient
from relay.store.keys import sts_policy
from relay.store.wire import ReplyError


class StsShelf:
    """See `relay.lookup.mta_sts.Shelf`."""

    def __init__(self, client: StoreClient) -> None:
        self._client = client

    async def get(self, domain: str) -> bytes | None:
        """The policy of a domain, as it was put. Raises StoreUnavailable."""
        found: bytes | None = await self._client.read("GET", sts_policy(domain))
        return found

    async def put(self, domain: str, value: bytes, seconds: int) -> None:
        """Keep it for so long. Raises StoreUnavailable, also where the store is full."""
        try:
            await self._client.read("SET", sts_policy(domain), value, "EX", seconds)
        except ReplyError as error:
            raise StoreUnavailable(str(error)) from error
