"""Whether the store has room for more messages: its memory, and the disk of its append-only file.

Looked at from outside and ahead of time, as what finishes messages must still have room to run.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from pathlib import Path

from relay.errors import RelayError
from relay.store.client import StoreClient

_log = logging.getLogger(__name__)

#: Seconds between two looks.
_INTERVAL = 1.0
_FIELD = re.compile(rb"^(used_memory|maxmemory):(\d+)", re.MULTILINE)


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
        self._full = ""

    def __call__(self) -> bool:
        """No more messages are to be accepted just now."""
        return bool(self._full)

    async def watch(self) -> None:
        """Look again and again; a store that gives no answer says so by itself."""
        while True:
            try:
                self._found(await self._look())
            except RelayError:
                self._found("")
            await asyncio.sleep(_INTERVAL)

    async def _look(self) -> str:
        answer: bytes = await self._client.read("INFO", "memory")
        memory = {name: int(number) for name, number in _FIELD.findall(answer)}
        limit = memory.get(b"maxmemory", 0)
        if limit and memory[b"used_memory"] > limit * self._memory_high:
            return "its memory is nearly used up"
        if self._disk.is_dir():
            disk = await asyncio.to_thread(shutil.disk_usage, self._disk)
            if disk.free < disk.total * self._disk_low:
                return "the disk of its append-only file is nearly full"
        return ""

    def _found(self, full: str) -> None:
        if full != self._full:
            _log.warning("the store %s", f"takes no more messages: {full}" if full else "has room")
        self._full = full
