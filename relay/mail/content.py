"""Content on the wire: its end found, its dots unstuffed, its line ends judged.

Only `<CR><LF>.<CR><LF>` ends content (RFC 5321 section 4.1.1.4). A bare CR or LF, or a NUL, makes
the whole content unacceptable: another host may read an end of data, and so a second message, where
it stands (SMTP smuggling). It is read to its real end all the same, then refused.
"""

from __future__ import annotations

from io import IncrementalNewlineDecoder

from relay.mail import answers
from relay.mail.reply import Reply

END = b"\r\n.\r\n"
_DOT = b"\r\n."
#: Octets of a chunk at most. The first chunk leaves room for the trace header.
CHUNK = 256 * 1024
TRACE_ROOM = 2048

_BEGINNINGS_OF_END = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


def _has_bare_line_end(piece: bytes) -> bool:
    """Whether a line of it ends in CR or LF alone."""
    # What reads text files goes through once: a fifth of the time of counting CR, LF and CRLF.
    reader = IncrementalNewlineDecoder(None, translate=False)
    reader.decode(piece.decode("latin-1"), final=True)
    return reader.newlines not in (None, "\r\n")


class ContentReader:
    """Takes the octets that follow 354, split anyhow, and gives chunks without dot-stuffing.

    What is kept is bounded by `limit`, in octets; beyond it content is counted and thrown away.
    """

    __slots__ = (
        "_bare",
        "_begun",
        "_binary",
        "_chunks",
        "_held",
        "_nul",
        "_open",
        "_overflown",
        "_unwanted",
        "limit",
        "size",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Octets of content so far, stuffed dots not counted (RFC 1870 section 6.4).
        self.size = 0
        self._chunks: list[bytes] = []
        # The chunk that is being filled; its first piece is not copied, and mostly is all there is.
        self._open: bytes | bytearray = b""
        # The CRLF of the DATA line counts as the first line end (RFC 5321 section 4.1.1.4).
        self._held = b"\r\n"
        self._begun = self._bare = self._nul = self._overflown = self._unwanted = False
        # Bare line ends and NULs are its own affair.
        self._binary = False

    @property
    def kept(self) -> int:
        """Octets of memory that the content takes."""
        return 0 if self._unwanted else self.size

    def feed(self, octets: bytes, start: int = 0) -> int:
        """Take what begins at `start`; the offset behind the final dot's CRLF, -1 where it lacks.

        An octet is held back as long as it may belong to the end, at most four of them.
        """
        held = self._held
        window = held + (octets[start:] if start else octets)
        # Most content has no stuffed dot: then the first dot in a first column is the end, and one
        # search tells both.
        dot = window.find(_DOT)
        end = window.find(END, dot) if dot >= 0 else -1
        if end >= 0:
            self._take(window[: end + 2], stuffed=dot != end)
            return start + end + len(END) - len(held)
        self._held = next(filter(window.endswith, _BEGINNINGS_OF_END), b"")
        self._take(window[: len(window) - len(self._held)], stuffed=dot >= 0)
        return -1

    def drop(self) -> None:
        """Keep nothing of this content: it will be refused with 452, so its memory is free now."""
        self._overflown = self._unwanted = True
        self._forget()

    def refusal(self) -> Reply | None:
        """What stands against the content, once it is whole."""
        if self._bare and not self._binary:
            return answers.BARE_LINE_END
        if self._nul and not self._binary:
            return answers.NUL
        if self.size > self.limit:
            return answers.TOO_LARGE
        return answers.OUT_OF_MEMORY if self._overflown else None

    def chunks(self) -> tuple[bytes, ...]:
        """The content in chunks that can be stored one by one; none where there is no octet."""
        if self._open:
            self._chunks.append(bytes(self._open))
            self._open = b""
        return tuple(self._chunks)

    def _take(self, piece: bytes, *, stuffed: bool) -> None:
        """Judge and keep a piece, at whose ends no CRLF and no stuffed dot is cut in two."""
        if _has_bare_line_end(piece):
            self._bare = True
        if b"\0" in piece:
            self._nul = True
        if stuffed:
            piece = piece.replace(_DOT, b"\r\n")
        if not self._begun and piece:
            self._begun, piece = True, piece[2:]
        self.size += len(piece)
        foul = (self._bare or self._nul) and not self._binary
        if foul or self._overflown or self.size > self.limit:
            self._unwanted = True
            self._forget()
        else:
            self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        if not self._open:
            self._open = piece
        else:
            if isinstance(self._open, bytes):
                self._open = bytearray(self._open)
            self._open += piece
        room = CHUNK if self._chunks else CHUNK - TRACE_ROOM
        if len(self._open) > room:
            self._close_chunks(room)

    def _close_chunks(self, room: int) -> None:
        """Cut off chunks that are full: the first one where there is so much room, then others."""
        octets, at = memoryview(self._open), 0
        while len(octets) - at > room:
            self._chunks.append(bytes(octets[at : at + room]))
            at, room = at + room, CHUNK
        self._open = bytearray(octets[at:])

    def _forget(self) -> None:
        self._chunks.clear()
        self._open = b""


class ChunkReader(ContentReader):
    """Takes the octets of BDAT commands, whose number is known: nothing in them ends them.

    `binary`: BODY=BINARYMIME was given, so that they need not be lines.
    """

    __slots__ = ()

    def __init__(self, limit: int, *, binary: bool) -> None:
        super().__init__(limit)
        self._held, self._begun, self._binary = b"", True, binary

    @property
    def lines(self) -> bool:
        """It can be sent by DATA as it is: whole lines that end in CRLF, without NUL."""
        if self._bare or self._nul:
            return False
        return bytes((self._open or b"".join(self._chunks[-1:]))[-2:]) in (b"\r\n", b"")

    def feed_chunk(self, octets: bytes) -> None:
        """Take some octets; a CR at their end may belong to an LF that is still to come."""
        window = self._held + octets
        self._held = b"\r" if window.endswith(b"\r") else b""
        self._take(window[: len(window) - len(self._held)], stuffed=False)

    def end(self) -> None:
        """No more comes."""
        held, self._held = self._held, b""
        self._take(held, stuffed=False)
