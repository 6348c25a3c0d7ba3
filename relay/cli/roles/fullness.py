"""Whether the store has room for more messages: its memory, and the disk of its append-only file.

Looked at from outside and ahead of time, as what finishes messages must still have room to run.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from relay import log
from relay.errors import RelayError
from relay.store.client import StoreClient
from relay.store.memory import memory

_log = log.logger("relay.smtp")

#: Seconds between two looks.
_INTERVAL = 1.0


class Fullness:
    """Asked for each message, so it answers from the last look."""

    def __init__(
        self, client: StoreClient, *, memory_high: float, disk_low: float, disk: Path
    ) -> None:
        """`disk`: the directory of the append-only file; where there is none here, its disk is
        not looked at.
        """
        self._client = client
        self._memory_high = memory_high
        self._disk_low = disk_low
        self._disk = disk
        #: Why it is full, "" where it is not.
        self.reason = ""

    def __call__(self) -> bool:
        """No more messages are to be accepted just now."""
        return bool(self.reason)

    async def watch(self) -> None:
        """Look again and again; a store that gives no answer says so by itself."""
        while True:
            try:
                self._found(await self._look())
            except (RelayError, OSError):
                self._found("")
            await asyncio.sleep(_INTERVAL)

    async def _look(self) -> str:
        used, limit = await memory(self._client)
        if limit and used > limit * self._memory_high:
            return "its memory is nearly used up"
        if self._disk.is_dir():
            disk = await asyncio.to_thread(shutil.disk_usage, self._disk)
            if disk.free < disk.total * self._disk_low:
                return "the disk of its append-only file is nearly full"
        return ""

    def _found(self, full: str) -> None:
        if full != self.reason:
            _log.warning("the store is full" if full else "the store has room", reason=full)
        self.reason = full
