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
    posts: Iterable[Post]
    connections: int = 8
    #: X-Test-Id -> message id, in the order of acceptance.
    accepted: dict[str, str] = field(default_factory=dict)
    #: Refusals, by what was said; messages whose answer was lost (they may have been accepted).
    refusals: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._posts = deque(self.posts)
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

    def _run(self) -> None:
        try:
            uvloop.run(self._all())
        except BaseException as error:  # noqa: BLE001 - handed to the test by `wait`
            self._failure = error

    async def _all(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.connections)))

    async def _client(self) -> None:
        while self._posts and not self._stop:
            try:
                await self._session()
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(_PAUSE)

    async def _session(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await _reply(reader)
            writer.write(b"EHLO source.test\r\n")
            await _reply(reader)
            while self._posts and not self._stop:
                one = self._posts.popleft()
                if not await self._submit(reader, writer, one):
                    await asyncio.sleep(_PAUSE)
            writer.write(b"QUIT\r\n")
        finally:
            writer.close()

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
            self._posts.append(one)
            raise
        found = _QUEUED.search(answers[-1])
        if found is None:
            assert answers[-1][0] == "4", answers
            self.refusals += [answer for answer in answers if answer[0] in "45"]
            self._posts.append(one)
            return False
        self.accepted[one.id] = found[1]
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
