"""The directory: credentials as this process last read them from the store, for a few seconds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from relay.policy.credential import Credential, Kind
from relay.store.identity import IdentityStore

_Key = tuple[Kind, str]


class Directory:
    """Reads of one credential at a time are one read; what is not there is remembered as well.

    A change holds everywhere once `seconds` have passed.
    """

    def __init__(self, store: IdentityStore, seconds: float, most: int = 10_000) -> None:
        self._store = store
        self._seconds = seconds
        self._most = most
        self._known: OrderedDict[_Key, tuple[float, Credential | None]] = OrderedDict()
        self._reading: dict[_Key, asyncio.Task[Credential | None]] = {}

    async def find(self, kind: Kind, name: str) -> Credential | None:
        """The credential with that name. Raises StoreUnavailable, UnreadableRecord."""
        loop, key = asyncio.get_running_loop(), (kind, name)
        known = self._known.get(key)
        if known is not None and loop.time() < known[0]:
            return known[1]
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = loop.create_task(self._read(key))
            reading.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(reading)

    async def _read(self, key: _Key) -> Credential | None:
        found = await self._store.find(*key)
        credential = found.credential if found is not None else None
        self._known[key] = (asyncio.get_running_loop().time() + self._seconds, credential)
        self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return credential
