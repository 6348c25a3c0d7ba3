"""Hosts that a test sends to: one SMTP sink in a thread, with an address of 127/8 for each host.

It remembers each message that it took, and behaves as it is told: to an address, a domain or a
single recipient.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

import uvloop

from tests.support.ports import free_port

_T = TypeVar("_T")
_EHLO = (
    "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 0\r\n"
    "250 ENHANCEDSTATUSCODES"
)
_ID = re.compile(rb"^X-Test-Id: *(\S+)", re.MULTILINE)
_PATH = re.compile(r"<([^>]*)>")


@dataclass(frozen=True)
class Taken:
    """A message whose final dot was seen, whatever was answered then: as the sink took it."""

    id: str
    sender: str
    recipients: tuple[str, ...]
    #: With line ends, without the dots of transparency; empty where it is not kept.
    content: bytes
    octets: int
    #: `time.monotonic()`.
    at: float
    #: The sink's address that it came to, and the client's port, which tells connections apart.
    address: str
    client: int


@dataclass
class Manner:
    """How a host treats what comes, where that is not "250 Ok"."""

    #: Instead of 220, after which the host hangs up.
    greeting: str = ""
    mail: str = ""
    rcpt: str = ""
    data: str = ""
    #: After the final dot; what is refused so does not count as taken.
    dot: str = ""
    #: Seconds before the reply to the final dot, and before that to DATA.
    delay: float = 0.0
    data_delay: float = 0.0
    #: After the final dot: the message is taken, and the connection ends without a reply.
    hang_up: bool = False
    #: So often, and then no longer.
    times: int = -1


@dataclass
class Traffic:
    """Connections of one address."""

    open: int = 0
    most: int = 0
    total: int = 0


class Site:
    """All hosts of a test, on one port. Use as a context."""

    def __init__(self, *, keep: bool = True) -> None:
        self.keep = keep
        self.port = free_port()
        #: In the order of their final dots; only ever appended to.
        self.taken: list[Taken] = []
        self.refused: list[Taken] = []
        self.traffic: defaultdict[str, Traffic] = defaultdict(Traffic)
        #: By address, domain or recipient.
        self.manners: dict[str, Manner] = {}
        self._servers: dict[str, asyncio.AbstractServer] = {}
        self._open: defaultdict[str, set[_Connection]] = defaultdict(set)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="site", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen("127.0.0.1")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for address in list(self._servers):
            self.refuse(address)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def listen(self, address: str) -> None:
        """Accept connections at an address."""

        async def start() -> None:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, self.port))
            self._servers[address] = await self._loop.create_server(
                lambda: _Connection(self, address), sock=sock, backlog=1024
            )

        self._call(start())

    def refuse(self, address: str) -> None:
        """Refuse connections at an address from now on, and end those that there are."""

        async def stop() -> None:
            server = self._servers.pop(address, None)
            if server is not None:
                server.close()
            for connection in list(self._open[address]):
                connection.end()
            await asyncio.sleep(0)

        self._call(stop())

    def ids(self) -> Counter[str]:
        """How often each message was taken, by its X-Test-Id."""
        return Counter(one.id for one in list(self.taken))

    def for_recipient(self, recipient: str) -> list[Taken]:
        """What was taken for a recipient."""
        return [one for one in list(self.taken) if recipient in one.recipients]

    def manner(self, keys: Iterable[str], wanted: Callable[[Manner], _T]) -> _T | None:
        """What the first key with such a wish says; one that is limited is used up by that."""
        for key in keys:
            manner = self.manners.get(key)
            if manner is None or not manner.times:
                continue
            wish = wanted(manner)
            if wish:
                manner.times -= 1
                return wish
        return None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _call(self, work: Coroutine[None, None, None]) -> None:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(10)


@dataclass
class _Envelope:
    sender: str = ""
    recipients: list[str] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, site: Site, address: str) -> None:
        self._site = site
        self._address = address
        self._buffer = b""
        self._in_content = False
        self._envelope = _Envelope()
        self._out: list[str] = []
        self._later: asyncio.TimerHandle | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._client: int = transport.get_extra_info("peername")[1]
        self._site._open[self._address].add(self)
        traffic = self._site.traffic[self._address]
        traffic.open += 1
        traffic.total += 1
        traffic.most = max(traffic.most, traffic.open)
        refusal = self._site.manner([self._address], lambda manner: manner.greeting)
        self._transport.write(f"{refusal or '220 sink.test ESMTP'}\r\n".encode())
        if refusal:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._later is not None:
            self._later.cancel()
        self._site._open[self._address].discard(self)
        self._site.traffic[self._address].open -= 1

    def end(self) -> None:
        """Hang up."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._later is None:
            self._go_on()

    def _go_on(self) -> None:
        while self._later is None and not self._lost and self._one():
            pass
        self._flush()

    def _flush(self) -> None:
        if self._out:
            self._transport.write("".join(f"{line}\r\n" for line in self._out).encode())
            self._out.clear()

    def _one(self) -> bool:
        """Handle what comes first in the buffer, where that is there as a whole."""
        if self._in_content:
            return self._content()
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        self._command(line.decode())
        return True

    def _command(self, line: str) -> None:
        verb = line.upper()
        if verb.startswith(("EHLO", "HELO")):
            self._out.append(_EHLO)
        elif verb.startswith("MAIL"):
            self._mail(line)
        elif verb.startswith("RCPT"):
            self._rcpt(line)
        elif verb == "DATA":
            self._data()
        elif verb == "QUIT":
            self._out.append("221 2.0.0 Bye")
            self._flush()
            self._transport.close()
        else:
            self._envelope = _Envelope()
            self._out.append("250 2.0.0 Ok")

    def _keys(self) -> list[str]:
        """Whom a manner may be for, the closest first."""
        recipients = self._envelope.recipients
        return [*recipients, *(one.rpartition("@")[2] for one in recipients), self._address]

    def _mail(self, line: str) -> None:
        found = _PATH.search(line)
        self._envelope = _Envelope(found[1] if found else "")
        refusal = self._site.manner([self._address], lambda manner: manner.mail)
        self._out.append(refusal or "250 2.1.0 Ok")

    def _rcpt(self, line: str) -> None:
        found = _PATH.search(line)
        recipient = found[1] if found else ""
        keys = [recipient, recipient.rpartition("@")[2], self._address]
        refusal = self._site.manner(keys, lambda manner: manner.rcpt)
        if not refusal:
            self._envelope.recipients.append(recipient)
        self._out.append(refusal or "250 2.1.5 Ok")

    def _data(self) -> None:
        if not self._envelope.recipients:
            self._out.append("554 5.5.1 No valid recipients")
            return
        refusal = self._site.manner(self._keys(), lambda manner: manner.data)
        if refusal:
            self._out.append(refusal)
            return
        self._in_content = True
        delay = self._site.manner(self._keys(), lambda manner: manner.data_delay)
        self._answer("354 Go on", delay)

    def _content(self) -> bool:
        if self._buffer.startswith(b".\r\n"):
            content, self._buffer = b"", self._buffer[3:]
        else:
            content, end, rest = self._buffer.partition(b"\r\n.\r\n")
            if not end:
                return False
            self._buffer = rest
            content += b"\r\n"
        self._in_content = False
        self._take(content)
        return True

    def _take(self, stuffed: bytes) -> None:
        content = b"\r\n" + stuffed
        content = content.replace(b"\r\n..", b"\r\n.")[2:]
        found = _ID.search(content)
        taken = Taken(
            found[1].decode() if found else "",
            self._envelope.sender,
            tuple(self._envelope.recipients),
            content if self._site.keep else b"",
            len(content),
            time.monotonic(),
            self._address,
            self._client,
        )
        keys = self._keys()
        refusal = self._site.manner(keys, lambda manner: manner.dot)
        (self._site.refused if refusal else self._site.taken).append(taken)
        if self._site.manner(keys, lambda manner: manner.hang_up):
            self._transport.abort()
            return
        delay = self._site.manner(keys, lambda manner: manner.delay)
        self._answer(refusal or "250 2.0.0 Ok: taken", delay)

    def _answer(self, reply: str, delay: float | None) -> None:
        """Say it, after a while where that is asked for; what follows has to wait as well."""
        self._out.append(reply)
        if not delay:
            return
        last = self._out.pop()
        self._flush()

        def speak() -> None:
            self._later = None
            self._out.append(last)
            self._go_on()

        self._later = self._site._loop.call_later(delay, speak)
