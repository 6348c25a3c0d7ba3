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
from relay.store.wire import ReplyError

_log = log.logger("relay.store")

#: Seconds between two looks, and where it is more than half full.
_INTERVAL, _CLOSER = 1.0, 0.1
#: Free space so many times what is to be left is ample: so many looks leave the disk out then, as a
#: look at it takes a thread.
_AMPLE, _LEFT_OUT = 2.0, 4
#: It has room again when it is so much below the limit, as a share of it: not at the first message
#: that leaves, or clients would be let in and turned away in turns.
_MEMORY_GAP, _DISK_GAP = 0.05, 0.25
#: Octets of the store's memory that a message takes besides its content, about.
_OVERHEAD = 2048
_MEMORY = "its memory is nearly used up"


class Fullness:
    """Asked for each message, so it answers from the last look and what it was asked since."""

    def __init__(
        self,
        client: StoreClient,
        *,
        memory_high: float,
        disk_low: float = 0.0,
        disk: Path | None = None,
        tenant_share: float = 1.0,
        partitions: int = 1,
    ) -> None:
        """`disk`: the directory of the append-only file; where there is none here, its disk is
        not looked at. `tenant_share`: of what may be used, for one tenant; 1: all of it.
        """
        self._tenant_share = tenant_share
        self._partitions = partitions
        self._client = client
        self._memory_high = memory_high
        self._disk_low = disk_low
        self._disk = disk
        #: Why it is full, "" where it is not.
        self.reason = ""
        self._left_out = 0
        # Memory used when it was looked at, what may be, and what was submitted since.
        self._used = self._limit = self._since = 0

    def __call__(self, octets: int = 0) -> bool:
        """No more messages are to be accepted just now, or not one of so many octets.

        What this process accepts counts at once: a second is long enough to fill a small store.
        """
        if self.reason:
            return True
        cost = octets + _OVERHEAD if octets else 0
        if self._limit and self._used + self._since + cost > self._limit:
            self._found(_MEMORY)
            return True
        self._since += cost
        return False

    def share(self) -> int:
        """Octets that one tenant's messages may take up in a partition; 0: any, there is room."""
        if not self._scarce or self._tenant_share >= 1:
            return 0
        return max(1, int(self._limit * self._tenant_share) // self._partitions)

    @property
    def _scarce(self) -> bool:
        """More than half of what may be used is."""
        return bool(self._limit) and self._used + self._since > self._limit / 2

    async def watch(self) -> None:
        """Look again and again; a store that gives no answer says so by itself."""
        while True:
            try:
                self._found(await self.look())
            except (RelayError, ReplyError, OSError):
                self._found("")
            await asyncio.sleep(_CLOSER if self._scarce else _INTERVAL)

    async def look(self) -> str:
        """Why it is full now, "" where it is not."""
        before = self._since
        self._used, limit = await memory(self._client)
        self._since -= before
        self._limit = int(limit * self._memory_high)
        most = self._limit * (1 - _MEMORY_GAP) if self.reason else self._limit
        if limit and self._used > most:
            return _MEMORY
        return await self._look_at_disk()

    async def _look_at_disk(self) -> str:
        if self._left_out:
            self._left_out -= 1
            return ""
        if self._disk is None or not self._disk.is_dir():
            return ""
        disk = await asyncio.to_thread(shutil.disk_usage, self._disk)
        low = disk.total * self._disk_low
        if disk.free < (low * (1 + _DISK_GAP) if self.reason else low):
            return "the disk of its append-only file is nearly full"
        if disk.free > low * _AMPLE:
            self._left_out = _LEFT_OUT
        return ""

    def _found(self, full: str) -> None:
        if full != self.reason:
            _log.warning("the store is full" if full else "the store has room", reason=full)
        self.reason = full
