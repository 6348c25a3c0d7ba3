"""Bodies of requests: read within bounds of octets and time, and unpacked within the same bound."""

from __future__ import annotations

import asyncio
import io
import zlib

import zstandard
from starlette.requests import ClientDisconnect, Request

from relay.ingress.access import Memory
from relay.ingress.http.problems import Refused, problem

#: Octets that unpacking gives at a time.
_STEP = 256 << 10
#: A zstd frame may ask for this much memory to be unpacked, at most.
_WINDOW = 8 << 20


class Bodies:
    """Reads them; all that are on their way in together are within `memory`."""

    def __init__(self, *, most: int, memory: int, seconds: float) -> None:
        self._most = most
        self._memory = Memory(memory)
        self._seconds = seconds

    async def json(self, request: Request) -> bytes:
        """The body of a request that says it is JSON. Raises Refused.

        Who may ask without a token is told by the address alone, and so a web page elsewhere must
        not be able to have a browser ask: no form can send this type.
        """
        kind = _type(request)
        if kind != "application/json" and not kind.endswith("+json"):
            raise Refused(problem(415, "unsupported", "send application/json as Content-Type"))
        return await self._whole(request)

    async def message(self, request: Request) -> bytes:
        """The body of a request that says it is a message (message/rfc822). Raises Refused."""
        if _type(request) != "message/rfc822":
            raise Refused(problem(415, "unsupported", "send message/rfc822 as Content-Type"))
        return await self._whole(request)

    async def _whole(self, request: Request) -> bytes:
        packed = await self._read(request)
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding == "identity":
            return packed
        if coding not in ("gzip", "zstd"):
            raise Refused(
                problem(415, "unsupported", "Content-Encoding may be gzip, zstd or identity")
            )
        unpack = _gunzip if coding == "gzip" else _unzstd
        return await asyncio.to_thread(unpack, packed, self._most)

    async def _read(self, request: Request) -> bytes:
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._most:
            raise self._too_large()
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for piece in request.stream():
                    size += len(piece)
                    self._memory.used += len(piece)
                    if size > self._most:
                        raise self._too_large()
                    if self._memory.full:
                        raise Refused(
                            problem(503, "busy", "too much is on its way in", retry_after=2)
                        )
                    pieces.append(piece)
        except TimeoutError:
            raise Refused(problem(408, "timeout", f"not here in {self._seconds:g} s")) from None
        except ClientDisconnect:
            raise Refused(problem(400, "bad-request", "the client went away")) from None
        finally:
            self._memory.used -= size
        return b"".join(pieces)

    def _too_large(self) -> Refused:
        return Refused(problem(413, "too-large", f"a body has {self._most} octets at most"))


def _type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _gunzip(packed: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(packed, most + 1)
    except zlib.error as error:
        raise Refused(problem(400, "bad-request", f"the body is no gzip: {error}")) from None
    if len(unpacked) > most:
        raise _unpacks_to_too_much(most)
    if not unpacker.eof:
        raise Refused(problem(400, "bad-request", "the body's gzip is cut off"))
    return unpacked


def _unzstd(packed: bytes, most: int) -> bytes:
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    pieces: list[bytes] = []
    size = 0
    try:
        with unpacker.stream_reader(io.BytesIO(packed)) as reader:
            while piece := reader.read(_STEP):
                size += len(piece)
                if size > most:
                    raise _unpacks_to_too_much(most)
                pieces.append(piece)
    except zstandard.ZstdError as error:
        raise Refused(problem(400, "bad-request", f"the body is no zstd: {error}")) from None
    return b"".join(pieces)


def _unpacks_to_too_much(most: int) -> Refused:
    return Refused(problem(413, "too-large", f"the body unpacks to more than {most} octets"))
