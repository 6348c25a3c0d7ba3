"""The reply parser of a client: octets in, replies out, however cut (RFC 5321 section 4.2)."""

from __future__ import annotations

from functools import lru_cache

from relay.mail.reply import Reply, reply_of

#: Octets of one line, its end included. RFC 5321 section 4.5.3.1.5 allows 512.
MOST_LINE = 2_048
#: Lines of one reply, so that no server can talk for ever.
MOST_LINES = 100
#: Octets of one reply.
MOST_OCTETS = 65_536
#: Characters of a reply's text that are kept: it goes into records, DSNs and logs.
MOST_TEXT = 2_048


def readable(text: str) -> str:
    """`text` fit for a log line or a DSN: on one line, and `?` for what cannot be printed."""
    text = " ".join(text.split("\n"))[:MOST_TEXT].strip()
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


def _code(line: bytes) -> int:
    """The reply code that opens the line, -1 where the line is no reply."""
    if line[:3].isdigit() and line[3:4] in (b" ", b"-", b"\r", b""):
        return int(line[:3])
    return -1


def _text(line: bytes) -> str:
    return readable(line[4:].rstrip().decode("utf-8", "replace"))


# Nearly all replies of a busy session are the same few lines: parsing them once makes the hot path.
@lru_cache(maxsize=256)
def _single(line: bytes) -> Reply | None:
    """The reply that is this one line; None where more lines belong to it, or it is none."""
    code = _code(line)
    return None if code < 0 or line[3:4] == b"-" else reply_of(code, _text(line))


def _joined(code: int, texts: list[str]) -> Reply:
    """One reply from its lines; servers like to repeat the enhanced status code on each."""
    first = reply_of(code, texts[0])
    rest = [text.removeprefix(first.enhanced).strip() for text in texts[1:]]
    text = " ".join(part for part in (first.text, *rest) if part)
    return Reply(code, first.enhanced, text[:MOST_TEXT])


class ReplyParser:
    """Replies from a stream of octets.

    `fault` says what was wrong once something was: the replies can no longer be paired with
    commands, so the parser gives none any more and the connection must go.
    """

    __slots__ = ("_code", "_octets", "_rest", "_texts", "fault")

    def __init__(self) -> None:
        self.fault = ""
        self._rest = b""
        self._texts: list[str] = []
        self._code = 0
        self._octets = 0

    @property
    def partial(self) -> bool:
        """A reply has begun and is not complete, or nothing can be trusted any more."""
        return bool(self._rest or self._texts or self.fault)

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes. A line may end in a bare LF, as some servers do."""
        if self.fault:
            return []
        if self._rest:
            data = self._rest + data
        lines = data.split(b"\n")
        self._rest = lines.pop()
        replies = []
        for line in lines:
            whole = None if self._texts or len(line) >= MOST_LINE else _single(line)
            reply = whole or self._line(line)
            if reply is not None:
                replies.append(reply)
            elif self.fault:
                return replies
        if len(self._rest) >= MOST_LINE:
            self._fail("a reply line is too long")
        return replies

    def _line(self, line: bytes) -> Reply | None:
        if len(line) >= MOST_LINE:
            self._fail("a reply line is too long")
            return None
        if self._texts or line[3:4] == b"-":
            return self._continued(line)
        self._malformed(line)
        return None

    def _continued(self, line: bytes) -> Reply | None:
        code = _code(line)
        if code < 0 or (self._texts and code != self._code):
            self._malformed(line)
            return None
        self._code = code
        self._texts.append(_text(line))
        self._octets += len(line) + 1
        if len(self._texts) > MOST_LINES or self._octets > MOST_OCTETS:
            self._fail("a reply is too long")
            return None
        if line[3:4] == b"-":
            return None
        reply = _joined(code, self._texts)
        self._texts = []
        self._octets = 0
        return reply

    def _malformed(self, line: bytes) -> None:
        self._fail(f"not an SMTP reply: {readable(line[:80].decode('utf-8', 'replace'))}")

    def _fail(self, fault: str) -> None:
        self.fault = fault
        self._rest = b""
        self._texts = []
