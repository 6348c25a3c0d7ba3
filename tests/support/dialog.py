"""A client that says what it is told to, on a real socket, and reads reply by reply."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator

#: Seconds that anything on loopback may take before a test fails.
PATIENCE = 10.0


class Dialog:
    """One connection; `say` answers with the last line of each reply it waits for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, octets: bytes, replies: int = 1) -> list[str]:
        """Send, and wait for that many replies."""
        self.writer.write(octets)
        return [await self.reply() for _ in range(replies)]

    async def ehlo(self) -> list[str]:
        """What the server announces."""
        self.writer.write(b"EHLO client.example\r\n")
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            line = await asyncio.wait_for(self.reader.readline(), PATIENCE)
            lines.append(line.decode().rstrip("\r\n"))
        return [line[4:] for line in lines]

    async def reply(self) -> str:
        """The last line of the next reply; "" where the connection ended."""
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), PATIENCE)).decode()
            if line[3:4] != "-":
                return line.rstrip("\r\n")

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        with contextlib.suppress(ConnectionResetError):
            return await asyncio.wait_for(self.reader.read(), PATIENCE)
        return b""

    def reset(self) -> None:
        """Go away without a word: the server gets a reset, not an end of input."""
        opened = self.writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """The handshake."""
        await self.writer.start_tls(context, server_hostname=host)


@contextlib.asynccontextmanager
async def dialog(port: int, host: str = "127.0.0.1") -> AsyncIterator[Dialog]:
    """A connection, not yet greeted."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield Dialog(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await asyncio.wait_for(writer.wait_closed(), PATIENCE)


@contextlib.asynccontextmanager
async def greeted(port: int) -> AsyncIterator[Dialog]:
    """A connection on which EHLO was said."""
    async with dialog(port) as client:
        assert (await client.reply()).startswith("220 ")
        assert (await client.say(b"EHLO client.example\r\n"))[0].startswith("250 ")
        yield client
