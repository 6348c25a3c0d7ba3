"""The certificate of reception: read again when its files change, without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path

from relay import log, metrics
from relay.errors import ConfigError
from relay.ingress.certificate import expires
from relay.ingress.listener import server_tls

_log = log.logger("relay.smtp")

#: Seconds between two looks at the files.
INTERVAL = 5.0


class Certificate:
    """Two PEM files. Raises ConfigError naming the setting where they are no good at the start."""

    def __init__(self, certificate: str, key: str) -> None:
        self._certificate, self._key = certificate, key
        self._seen = self._look()
        self.tls = self._load()

    async def watch(
        self, use: Callable[[ssl.SSLContext], None], interval: float = INTERVAL
    ) -> None:
        """Look at the files for as long as this runs, and hand on what is new in them.

        Files that do not belong together, as while both are being replaced, change nothing.
        """
        while True:
            await asyncio.sleep(interval)
            now = self._look()
            if now == self._seen:
                continue
            try:
                self.tls = self._load()
            except ConfigError as error:
                _log.error("the new certificate is no good: the old one stays", why=str(error))
                continue
            self._seen = now
            use(self.tls)
            _log.info("a new certificate is in use", file=self._certificate)

    def _load(self) -> ssl.SSLContext:
        context = server_tls(self._certificate, self._key)
        with contextlib.suppress(ValueError):
            # It is good enough for OpenSSL, so it serves, even if its date cannot be told.
            text = Path(self._certificate).read_text(encoding="ascii", errors="replace")
            metrics.CERTIFICATE_EXPIRES.labels("smtp").set(expires(text))
        return context

    def _look(self) -> tuple[object, ...]:
        return tuple(map(_mark, (self._certificate, self._key)))


def _mark(name: str) -> object:
    """What changes when the file does."""
    try:
        status = Path(name).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
