"""A producer: submits many messages over a few pipelined connections, and knows what was accepted.

A message that was not accepted, or whose answer was lost, is submitted again until it is, as a
client with a queue would do.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

from tests.support.producer import Post, Producer

__all__ = ["Post", "Source", "eventually", "post", "submit", "without_trace"]

_QUEUED = re.compile(r"queued as (\S+)")
_TRACE = re.compile(rb"\AReceived:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*")
#: Seconds for one answer, and before a refused message is submitted again.
_ANSWER = 30.0
_PAUSE = 0.1


def post(id_: str, *recipients: str, size: int = 300, **fields: str) -> Post:
    """A message of about so many octets."""
    head = f"X-Test-Id: {id_}\r\nFrom: sender@origin.test\r\nSubject: {id_}\r\n\r\n"
    lines = max(1, (size - len(head)) // 66)
    content = head + "".join(f"{n:04d} {'x' * 59}\r\n" for n in range(lines))
    return Post(id_, recipients, content.encode(), **fields)


def without_trace(content: bytes) -> bytes:
    """A message as it was submitted: the topmost Received field cut off."""
    return _TRACE.sub(b"", content, count=1)


@dataclass
class Source(Producer):
    """A producer that speaks SMTP."""

    port: int
    posts: Iterable[Post]
    _: KW_ONLY
    connections: int = 8

    def to_draw(self) -> Iterable[Post]:
        """See Producer."""
        return self.posts

    async def work(self) -> None:
        """See Producer."""
        await asyncio.gather(*(self._client() for _ in range(self.connections)))

    async def _client(self) -> None:
        while not self.stopped and (one := self.take()) is not None:
            try:
                await self._session(one)
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(_PAUSE)

    async def _session(self, first: Post) -> None:
        one: Post | None = first
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            self.put_back(first)
            raise
        try:
            await self._greet(reader, writer, first)
            while one is not None and not self.stopped:
                if not await self._submit(reader, writer, one):
                    await asyncio.sleep(_PAUSE)
                await self.pause(self.connections)
                one = self.take()
            writer.write(b"QUIT\r\n")
        finally:
            writer.close()

    async def _greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: Post
    ) -> None:
        try:
            await _reply(reader)
            writer.write(b"EHLO source.test\r\n")
            await _reply(reader)
        except (OSError, EOFError, TimeoutError):
            self.put_back(first)
            raise

    async def _submit(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one: Post
    ) -> bool:
        dotted = False
        try:
            rcpt = "".join(f"RCPT TO:<{recipient}>\r\n" for recipient in one.recipients)
            mail = f"MAIL FROM:<{one.sender}> {one.parameters}".rstrip()
            writer.write(f"{mail}\r\n{rcpt}DATA\r\n".encode())
            answers = [await _reply(reader) for _ in range(len(one.recipients) + 2)]
            if answers[-1].startswith("354"):
                stuffed = (b"\r\n" + one.content).replace(b"\r\n.", b"\r\n..")[2:]
                dotted = True
                writer.write(stuffed + b".\r\n")
                answers.append(await _reply(reader))
        except (OSError, EOFError, TimeoutError):
            if dotted:
                self.unsure.append(one.id)
            self.put_back(one)
            raise
        found = _QUEUED.search(answers[-1])
        if found is None:
            assert answers[-1][0] == "4", answers
            self.refusals += [answer for answer in answers if answer[0] in "45"]
            self.put_back(one)
            return False
        self.accepted[one.id] = found[1]
        self.accepted_at[one.id] = time.monotonic()
        return True


async def _reply(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(_ANSWER):
        while (line := await reader.readline()).endswith(b"\n"):
            if line[3:4] != b"-":
                return line.decode().rstrip()
    raise EOFError


def submit(port: int, *posts: Post, seconds: float = 30.0) -> dict[str, str]:
    """Submit a few messages; X-Test-Id -> message id."""
    with Source(port, posts, connections=min(len(posts), 8)) as source:
        source.wait(seconds)
        return source.accepted


def eventually(look: object, what: object = "", seconds: float = 30.0) -> None:
    """Wait until `look()` is true. Fails with `what`, or what it says when called."""
    deadline = time.monotonic() + seconds
    while not look():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.02)
