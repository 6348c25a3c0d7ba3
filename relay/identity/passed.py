"""Logins that passed a moment ago: a client that opens many sessions pays for one check."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hashlib import blake2b


class Passed:
    """Which stored hash a login and password matched, for a short time.

    Neither is kept: entries are known by a digest whose key lives and dies with this process.
    """

    def __init__(self, seconds: float, most: int = 10_000) -> None:
        self._seconds = seconds
        self._most = most
        self._key = secrets.token_bytes(32)
        self._hashes: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    def digest(self, login: str, password: str) -> bytes:
        """What stands for both."""
        given = f"{len(login)} {login} {password}".encode(errors="surrogatepass")
        return blake2b(given, key=self._key, digest_size=32).digest()

    def get(self, digest: bytes, now: float) -> str:
        """The hash that was matched, "" where none was lately."""
        until, stored = self._hashes.get(digest, (0.0, ""))
        return stored if now < until else ""

    def add(self, digest: bytes, stored: str, now: float) -> None:
        """The login passed by this stored hash."""
        self._hashes[digest] = (now + self._seconds, stored)
        self._hashes.move_to_end(digest)
        while len(self._hashes) > self._most:
            self._hashes.popitem(last=False)
