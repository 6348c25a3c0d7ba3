"""The TLS handshake of a connection that was in the clear until now."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast


async def shake_hands(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    tls: ssl.SSLContext,
    seconds: float,
    hello: bytes = b"",
) -> asyncio.Transport | None:
    """The protocol's transport inside TLS, None where the client broke the handshake off.

    `hello`: what of the handshake was read already, as where TLS comes first: a client's first
    octets may come with a PROXY header, or before the loop knows that it is not to read.
    """
    loop = asyncio.get_running_loop()
    handshake = loop.create_task(
        loop.start_tls(transport, protocol, tls, server_side=True, ssl_handshake_timeout=seconds)
    )
    try:
        if hello:
            # It begins in the next turn of the loop, and is at the socket in the one after.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            _give(cast(asyncio.BufferedProtocol, transport.get_protocol()), hello)
        return await handshake
    except (OSError, ssl.SSLError):
        # Nothing was said that needs an answer.
        return None


def _give(tls: asyncio.BufferedProtocol, octets: bytes) -> None:
    """Hand TLS what its transport would, before that reads any more."""
    while octets:
        buffer = memoryview(tls.get_buffer(len(octets)))
        taken = min(len(buffer), len(octets))
        buffer[:taken] = octets[:taken]
        tls.buffer_updated(taken)
        octets = octets[taken:]
