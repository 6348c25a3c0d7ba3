"""Content in pieces small enough to be written one by one, as the peer takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.smtp.transaction import Transaction

#: Octets that are written at once at most. The last piece carries the final dot, so this bounds
#: what may still lie in our own buffer when the dot is handed on.
PIECE = 65_536


async def pieces(transaction: Transaction) -> AsyncIterator[bytes]:
    """The content of the transaction in pieces of at most PIECE octets."""
    if transaction.chunks is None:
        for piece in _cut(transaction.body or b""):
            yield piece
        return
    async for chunk in transaction.chunks():
        for piece in _cut(chunk):
            yield piece


def _cut(chunk: bytes) -> list[bytes]:
    if len(chunk) <= PIECE:
        return [chunk]
    return [chunk[start : start + PIECE] for start in range(0, len(chunk), PIECE)]
