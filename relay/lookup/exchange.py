"""One question to one nameserver: over UDP, and over TCP where UDP has no room (RFC 7766).

Each question has a socket of its own, so a port that the kernel draws, beside a random number: an
answer forged from afar has to guess both (RFC 5452). The socket is connected, so the kernel drops
what comes from elsewhere and reports a server that is not there at once.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

from relay.lookup.wire import Malformed, Question, Response, answers, query, read
from relay.policy.endpoint import Endpoint

#: Larger than any answer over UDP that we ask for.
_LARGEST_DATAGRAM = 4096
#: Datagrams that answer something else, after which somebody is guessing and TCP is used instead.
_MOST_STRAYS = 8


class NoAnswer(Exception):
    """The server gave no usable answer; the text says why, as an operator reads it."""


class TimedOut(NoAnswer):
    """The server said nothing in time: it may still be looking, so asking it again makes sense."""


async def ask(
    server: Endpoint, asked: Question, *, timeout: float, payload: int, authentic: bool = False
) -> Response:
    """The server's answer within `timeout` seconds. Raises NoAnswer.

    `authentic`: it is asked whether it has validated what it says."""
    number = int.from_bytes(os.urandom(2), "big")
    octets = query(asked, number, payload, authentic=authentic)
    try:
        async with asyncio.timeout(timeout):
            found = await _over_udp(server, asked, number, octets)
            if found is not None:
                response = read(found, asked)
                if not response.truncated:
                    return response
            return read(await _over_tcp(server, asked, number, octets), asked)
    except TimeoutError:
        raise TimedOut("no answer in time") from None
    except (OSError, EOFError) as error:
        raise NoAnswer(getattr(error, "strerror", None) or type(error).__name__) from error
    except Malformed as error:
        raise NoAnswer(f"malformed answer ({error})") from error


class _Datagrams:
    """Waits on a connected UDP socket for the answer; `None` means: better over TCP."""

    __slots__ = ("_answer", "_asked", "_number", "_socket", "_strays")

    def __init__(
        self,
        udp: socket.socket,
        asked: Question,
        number: int,
        answer: asyncio.Future[bytes | None],
    ) -> None:
        self._socket = udp
        self._asked = asked
        self._number = number
        self._answer = answer
        self._strays = 0

    def readable(self) -> None:
        """Take one datagram; one that answers something else is passed over."""
        if self._answer.done():
            return
        try:
            octets = self._socket.recv(_LARGEST_DATAGRAM)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._answer.set_exception(error)
            return
        if answers(octets, self._number, self._asked):
            self._answer.set_result(octets)
            return
        self._strays += 1
        if self._strays == _MOST_STRAYS:
            self._answer.set_result(None)


async def _over_udp(server: Endpoint, asked: Question, number: int, octets: bytes) -> bytes | None:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        # To a numeric address and over UDP, neither waits for the network.
        udp.connect((server.host, server.port))
        udp.send(octets)
        answer: asyncio.Future[bytes | None] = loop.create_future()
        loop.add_reader(udp, _Datagrams(udp, asked, number, answer).readable)
        try:
            return await answer
        finally:
            loop.remove_reader(udp)


async def _over_tcp(server: Endpoint, asked: Question, number: int, octets: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(len(octets).to_bytes(2, "big") + octets)
        length = int.from_bytes(await reader.readexactly(2), "big")
        found = await reader.readexactly(length)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if not answers(found, number, asked):
        raise Malformed("it answers another question")
    return found
