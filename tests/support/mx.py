"""A scripted MX on a real socket: it says what the script says, and remembers what it took."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

#: In place of a reply: close the connection, or say nothing any more until the client goes.
HANG_UP = "<hang up>"
STALL = "<stall>"

#: One reply (several lines where it has line ends), or one for each time the command comes; the
#: last of a sequence is said again and again.
Answer = str | Sequence[str]

EXTENSIONS = ("PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


@dataclass(frozen=True)
class Taken:
    """A message whose final dot was answered with 250; content as received, dots removed."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass
class Mx:
    """`answers` maps the beginning of a command to its answer, the longest match wins; besides
    commands it knows `CONNECT` (the greeting), `.` (the final dot) and `CONTENT`, where an answer
    is said in its midst and the rest of the content is left unread."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    extensions: Sequence[str] = EXTENSIONS
    #: Announces STARTTLS and uses this context.
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    #: Seconds before the answer to a command, by its first word.
    delays: Mapping[str, float] = field(default_factory=dict)
    #: The answer to a command, by its first word, waits until its event is set.
    gates: Mapping[str, asyncio.Event] = field(default_factory=dict)

    port: int = 0
    connections: int = 0
    open: int = 0
    most_open: int = 0
    #: All commands, of all connections, without line ends; the final dot is `.`.
    commands: list[str] = field(default_factory=list)
    #: What each read brought: the writes of the client, as far as the kernel kept them apart.
    reads: list[bytes] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._said: dict[str, int] = {}
        self.changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def until(self, happened: Callable[[Mx], bool]) -> None:
        """Wait until it happened; asked again at each command, message, and end of a connection."""
        async with asyncio.timeout(10):
            while not happened(self):
                self.changed.clear()
                await self.changed.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio's would complain when it is cancelled.
        task = asyncio.create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.changed.set()
        self.most_open = max(self.most_open, self.open)
        try:
            await _Conversation(self, reader, writer).hold()
        except (OSError, EOFError, _HungUp):
            pass
        finally:
            self.open -= 1
            self.changed.set()
            writer.transport.abort()

    def answer(self, command: str, default: str) -> str:
        """What to say now to that command."""
        matching = [key for key in self.answers if command.upper().startswith(key.upper())]
        if not matching:
            return default
        key = max(matching, key=len)
        answer = self.answers[key]
        if isinstance(answer, str):
            return answer
        count = self._said.get(key, 0)
        self._said[key] = count + 1
        return answer[min(count, len(answer) - 1)]


class _HungUp(Exception):
    """The script says to close."""


class _Conversation:
    def __init__(self, mx: Mx, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.mx = mx
        self.reader = reader
        self.writer = writer
        self.unread = b""
        self.sender = ""
        self.recipients: list[str] = []
        self.chunks = b""
        self.secure = False

    async def hold(self) -> None:
        await self.say("CONNECT", "220 mx.example ESMTP")
        while True:
            command = (await self.line()).decode("utf-8", "replace").rstrip("\r\n")
            self.mx.commands.append(command)
            self.mx.changed.set()
            verb = command.upper().split(" ", 1)[0].split(":", 1)[0]
            await getattr(self, f"on_{verb.lower()}", self.unknown)(command)

    async def line(self) -> bytes:
        while b"\n" not in self.unread:
            data = await self.reader.read(65_536)
            if not data:
                raise EOFError
            self.mx.reads.append(data)
            self.unread += data
        line, _, self.unread = self.unread.partition(b"\n")
        return line + b"\n"

    async def say(self, command: str, default: str) -> str:
        answer = self.mx.answer(command, default)
        verb = command.upper().split(" ", 1)[0]
        await asyncio.sleep(self.mx.delays.get(verb, 0))
        if verb in self.mx.gates:
            await self.mx.gates[verb].wait()
        if answer == HANG_UP:
            raise _HungUp
        if answer == STALL:
            while await self.reader.read(65_536):
                pass
            raise EOFError
        self.writer.write(answer.encode() + b"\r\n")
        await self.writer.drain()
        return answer

    async def unknown(self, command: str) -> None:
        await self.say(command, "500 5.5.2 what?")

    async def on_ehlo(self, command: str) -> None:
        words = ["mx.example", *self.mx.extensions]
        if self.mx.tls and not self.secure:
            words.append("STARTTLS")
        lines = [f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]
        await self.say(command, "\r\n".join(lines))

    async def on_helo(self, command: str) -> None:
        await self.say(command, "250 mx.example")

    async def on_starttls(self, command: str) -> None:
        if not (await self.say(command, "220 2.0.0 go ahead")).startswith("220"):
            return
        assert self.mx.tls is not None
        self.unread = b""
        await self.writer.start_tls(self.mx.tls)
        self.secure = True

    async def on_mail(self, command: str) -> None:
        if self.sender:
            await self.say("<nested>", "503 5.5.1 nested MAIL")
        elif (await self.say(command, "250 2.1.0 ok")).startswith("2"):
            self.sender = command.split(":", 1)[1].split(" ")[0]

    async def on_rcpt(self, command: str) -> None:
        default = "250 2.1.5 ok" if self.sender else "503 5.5.1 need MAIL"
        if (await self.say(command, default)).startswith("2"):
            self.recipients.append(command.split(":", 1)[1].strip("<>"))

    async def on_data(self, command: str) -> None:
        default = "354 go ahead" if self.recipients else "554 5.5.1 no valid recipients"
        if not (await self.say(command, default)).startswith("354"):
            return
        if self.mx.answer("CONTENT", ""):
            await self.line()
            if self.mx.answer("CONTENT", "") != STALL:
                await self.say("CONTENT", "")
            await asyncio.Event().wait()
        content = bytearray()
        while (line := await self.line()) != b".\r\n":
            content += line.removeprefix(b".")
        self.mx.commands.append(".")
        self.mx.changed.set()
        default = "250 2.0.0 taken" if self.recipients else "554 5.5.1 no valid recipients"
        envelope = Taken(self.sender.strip("<>"), tuple(self.recipients), bytes(content))
        self.reset()
        if (await self.say(".", default)).startswith("250"):
            self.mx.taken.append(envelope)
            self.mx.changed.set()

    async def on_bdat(self, command: str) -> None:
        words = command.upper().split()
        while len(self.unread) < int(words[1]):
            data = await self.reader.read(65_536)
            if not data:
                raise EOFError
            self.unread += data
        self.chunks += self.unread[: int(words[1])]
        self.unread = self.unread[int(words[1]) :]
        default = "250 2.0.0 taken" if self.recipients else "554 5.5.1 no valid recipients"
        envelope = Taken(self.sender.strip("<>"), tuple(self.recipients), self.chunks)
        if words[-1] == "LAST":
            self.reset()
        if (await self.say(command, default)).startswith("250") and words[-1] == "LAST":
            self.mx.taken.append(envelope)
            self.mx.changed.set()

    async def on_rset(self, command: str) -> None:
        self.reset()
        await self.say(command, "250 2.0.0 ok")

    async def on_quit(self, command: str) -> None:
        await self.say(command, "221 2.0.0 bye")
        raise _HungUp

    def reset(self) -> None:
        self.sender = ""
        self.chunks = b""
        self.recipients = []
