"""The web server of MTA-STS policies: real HTTPS on loopback, one answer for each host."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


def policy(mode: str = "enforce", *mx: str, max_age: int = 86400) -> bytes:
    """A policy file."""
    hosts = [f"mx: {one}" for one in mx]
    lines = ["version: STSv1", f"mode: {mode}", *hosts, f"max_age: {max_age}", ""]
    return "\r\n".join(lines).encode()


@dataclass(frozen=True)
class Page:
    """What the server answers with."""

    content: bytes = b""
    status: int = 200
    kind: str = "text/plain; charset=utf-8"
    location: str = ""
    #: It accepts the connection and says nothing.
    silent: bool = False


@dataclass
class PolicyHost:
    """Serves `pages`, by the name in the Host field. Use as a context."""

    tls: ssl.SSLContext
    pages: dict[str, Page] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    port: int = 0

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            [host] = [
                line.partition(":")[2].strip()
                for line in request.split("\r\n")
                if line.lower().startswith("host:")
            ]
            if not request.startswith("GET /.well-known/mta-sts.txt HTTP/1.1"):
                host = "?"
            self.asked[host] += 1
            page = self.pages.get(host, Page(status=404))
            if page.silent:
                await asyncio.Event().wait()
            head = f"HTTP/1.1 {page.status} x\r\nContent-Type: {page.kind}\r\n"
            head += f"Content-Length: {len(page.content)}\r\nConnection: close\r\n"
            head += f"Location: {page.location}\r\n" if page.location else ""
            writer.write(head.encode() + b"\r\n" + page.content)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
