"""The transparency rule: a dot more before each line that begins with one (RFC 5321 section 4.5.2).

Content is CRLF lines; where the last has no line end, one is added, for the final dot must stand
on a line of its own.
"""

from __future__ import annotations

from relay.mail.client_commands import bdat

#: The final dot, after content that ended in CRLF; alone, it ends empty content.
FINAL_DOT = b".\r\n"


def stuffed(content: bytes) -> bytes:
    """The whole content as it is sent, final dot included."""
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    if content.endswith(b"\r\n") or not content:
        return content + FINAL_DOT
    return content + b"\r\n" + FINAL_DOT


class DotStuffer:
    """The same, piece by piece, for content that is not held in one piece."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        # The last two octets before this piece, so that a line end may lie across the border.
        self._tail = b"\r\n"

    def feed(self, piece: bytes) -> bytes:
        """The piece as it is sent."""
        joined = self._tail + piece
        sent = joined.replace(b"\r\n.", b"\r\n..")[len(self._tail) :]
        self._tail = joined[-2:]
        return sent

    def end(self) -> bytes:
        """What follows the last piece: the final dot, on a line of its own."""
        return FINAL_DOT if self._tail == b"\r\n" else b"\r\n" + FINAL_DOT


class Chunk:
    """Content as it is, behind a BDAT that tells its size (RFC 3030 section 2).

    `feed` and `end` as of DotStuffer. `end` raises ValueError where it was not of that size: then
    nobody may go on with the connection.
    """

    __slots__ = ("_begun", "_left")

    def __init__(self, size: int) -> None:
        self._left = size
        self._begun = False

    def feed(self, piece: bytes) -> bytes:
        """The piece as it is sent."""
        head = b"" if self._begun else bdat(self._left)
        self._begun = True
        self._left -= len(piece)
        return head + piece

    def end(self) -> bytes:
        """What follows the last piece: nothing."""
        if self._left:
            raise ValueError("the content has not the size that was told")
        return b""
