"""A producer: submits many messages over a few pipelined connections, and knows what was accepted.

A message that was not accepted, or whose answer was lost, is submitted again until it is, as a
client with a queue would do.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import uvloop

_QUEUED = re.compile(r"queued as (\S+)")
_TRACE = re.compile(rb"\AReceived:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*")
#: Seconds for one answer, and before a refused message is submitted again.
_ANSWER = 30.0
_PAUSE = 0.1


@dataclass(frozen=True)
class Post:
    """A message to submit; `id` is its X-Test-Id."""

    id: str
    recipients: tuple[str, ...]
    content: bytes
    sender: str = "sender@origin.test"
    #: Parameters of MAIL, such as BODY=8BITMIME.
    parameters: str = ""


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
class Source:
    """Submits in a thread of its own; `wait` until all is accepted. Use as a context."""

    port: int
    #: Drawn as they are needed, by the source's thread.
    posts: Iterable[Post]
    connections: int = 8
    #: Messages a second at most; 0 for as many as it can.
    rate: float = 0.0
    #: X-Test-Id -> message id, in the order of acceptance.
    accepted: dict[str, str] = field(default_factory=dict)
    #: X-Test-Id -> `time.monotonic()` of its acceptance.
    accepted_at: dict[str, float] = field(default_factory=dict)
    #: Refusals, by what was said; messages whose answer was lost (they may have been accepted).
    refusals: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    #: What was submitted so far, accepted or not.
    drawn: list[Post] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._fresh = iter(self.posts)
        self._again: deque[Post] = deque()
        self._failure: BaseException | None = None
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop = True
        self._thread.join()

    def wait(self, seconds: float) -> None:
        """Until all is accepted."""
        self._thread.join(seconds)
        if self._failure is not None:
            raise self._failure
        assert not self._thread.is_alive(), f"not all accepted: {self.refusals[-3:]}"

    def enough(self) -> None:
        """Draw no more of the posts; what was drawn is still submitted until it is accepted."""
        self._fresh = iter(())

    def _take(self) -> Post | None:
        """The next one to submit."""
        if self._again:
            return self._again.popleft()
        one = next(self._fresh, None)
        if one is not None:
            self.drawn.append(one)
        return one

    def _run(self) -> None:
        try:
            uvloop.run(self._all())
        except BaseException as error:  # noqa: BLE001 - handed to the test by `wait`
            self._failure = error

    async def _all(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.connections)))

    async def _client(self) -> None:
        while not self._stop and (one := self._take()) is not None:
            try:
                await self._session(one)
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(_PAUSE)

    async def _session(self, first: Post) -> None:
        one: Post | None = first
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            self._again.append(first)
            raise
        try:
            await self._greet(reader, writer, first)
            while one is not None and not self._stop:
                if not await self._submit(reader, writer, one):
                    await asyncio.sleep(_PAUSE)
                if self.rate:
                    await asyncio.sleep(self.connections / self.rate)
                one = self._take()
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
            self._again.append(first)
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
            self._again.append(one)
            raise
        found = _QUEUED.search(answers[-1])
        if found is None:
            assert answers[-1][0] == "4", answers
            self.refusals += [answer for answer in answers if answer[0] in "45"]
            self._again.append(one)
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
