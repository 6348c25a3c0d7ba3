"""The way to Relay over its HTTP API, for services that are not to reach the store."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import msgspec
from msgspec import Struct, structs

from relay.api.contract import Cancelled, Event, Rescheduled, Result, Status
from relay.errors import (
    AccessDenied,
    IdempotencyConflict,
    InvalidMessage,
    NoSuchMessage,
    RelayError,
    StoreFull,
    StoreUnavailable,
    SubmissionRefused,
    TooMuch,
)
from relay.mail.message import Message
from relay.mail.reply import Reply
from relay.submission import Accepted

#: Messages, and octets of them, in one request at most.
_MOST, _MOST_OCTETS = 500, 16 << 20
#: Seconds between two tries: the first pause, and the longest.
_PAUSE = (0.1, 5.0)
_AGAIN = (429, 500, 502, 503, 504)
_Answer = TypeVar("_Answer")


class RemoteOptions(Struct, frozen=True, kw_only=True):
    """Where the API is, who asks, and how patient to be."""

    url: str
    token: str = ""
    #: Seconds that a request is repeated, and that one try may take.
    timeout: float = 60.0


class _Told(Struct):
    """What a problem document says that decides which error it is (RFC 9457)."""

    code: str = ""
    detail: str = ""
    errors: list[dict[str, str]] = []


class _Item(Struct):
    """One result of a batch."""

    id: str = ""
    repeated: bool = False
    status: int = 202
    problem: _Told | None = None


class _Items(Struct):
    results: list[_Item]


class _Stopped(Struct):
    deliveries: tuple[Cancelled, ...]


class _Moved(Struct):
    deliveries: tuple[Rescheduled, ...]


class Remote:
    """See `relay.api.contract.Transport`. Each message gets an idempotency key if it has none."""

    def __init__(self, options: RemoteOptions) -> None:
        self._options = options
        self._http: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Make ready; the first request connects."""
        headers = {"Content-Type": "application/json", "User-Agent": "relay-python"}
        if self._options.token:
            headers["Authorization"] = f"Bearer {self._options.token}"
        self._http = httpx.AsyncClient(
            base_url=self._options.url,
            headers=headers,
            timeout=self._options.timeout,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Disconnect."""
        if self._http is not None:
            await self._http.aclose()

    async def submit(self, message: Message) -> Accepted:
        """Accept one message."""
        body = msgspec.json.encode(_keyed(message))
        return _read(await self._ask("POST", "/v1/messages", body), Accepted)

    async def submit_many(self, messages: Sequence[Message]) -> list[Result]:
        """Accept many, in requests of a bounded size."""
        results: list[Result] = []
        for body in _bodies(messages):
            answer = await self._ask("POST", "/v1/messages:batch", body)
            results += [_result(item) for item in _read(answer, _Items).results]
        return results

    async def status(self, message: str) -> Status:
        """What has become of a message."""
        return _read(await self._ask("GET", f"/v1/messages/{_name(message)}"), Status)

    async def cancel(self, message: str) -> tuple[Cancelled, ...]:
        """Stop what is not delivered yet."""
        answer = await self._ask("POST", f"/v1/messages/{_name(message)}:cancel")
        return _read(answer, _Stopped).deliveries

    async def reschedule(self, message: str, at: datetime | None) -> tuple[Rescheduled, ...]:
        """Attempt what is not delivered yet at a time, or now."""
        path = f"/v1/messages/{_name(message)}"
        if at is None:
            answer = await self._ask("POST", f"{path}:send-now")
        else:
            body = msgspec.json.encode({"send_at": at})
            answer = await self._ask("POST", f"{path}:reschedule", body)
        return _read(answer, _Moved).deliveries

    async def events(self, after: str) -> AsyncIterator[Event]:
        """Events behind an event's id, or from now on; a lost connection is made again."""
        while True:
            try:
                async for event in self._stream(after):
                    after = event.id
                    yield event
            except httpx.TransportError:
                await asyncio.sleep(_PAUSE[0])

    async def _stream(self, after: str) -> AsyncIterator[Event]:
        headers = {"Last-Event-ID": after} if after else {}
        timeout = httpx.Timeout(self._options.timeout, read=60.0)
        async with self._client.stream(
            "GET", "/v1/events", headers=headers, timeout=timeout
        ) as answer:
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
                raise _error(answer.status_code, _told(answer.content), answer)
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield _read(line.removeprefix("data: ").encode(), Event)

    @property
    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            raise StoreUnavailable("the client is not open")
        return self._http

    async def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of a good answer; what may be said again is, until the time is over."""
        deadline = time.monotonic() + self._options.timeout
        pause, longest = _PAUSE
        while True:
            try:
                answer = await self._client.request(method, path, content=body)
                if answer.is_success:
                    return answer.content
                error = _error(answer.status_code, _told(answer.content), answer)
                wait = getattr(error, "retry_after", 0.0) or pause
                if answer.status_code not in _AGAIN or isinstance(error, StoreFull):
                    raise error
            except httpx.TransportError as failure:
                error, wait = StoreUnavailable(f"{self._options.url}: {failure!r}"), pause
            except httpx.InvalidURL as failure:
                raise StoreUnavailable(f"{self._options.url}: {failure}") from None
            if time.monotonic() + wait >= deadline:
                raise error
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - not secret
            pause = min(pause * 2, longest)


def _keyed(message: Message) -> Message:
    """The message with a key, so that it may be said again without being sent twice."""
    return message if message.idempotency_key else structs.replace(
        message, idempotency_key=f"auto:{uuid4().hex}"
    )  # fmt: skip


def _bodies(messages: Sequence[Message]) -> list[bytes]:
    """Requests for all messages, none with too many of them or too large."""
    bodies: list[bytes] = []
    parts: list[bytes] = []
    size = 0
    for message in messages:
        part = msgspec.json.encode(_keyed(message))
        if parts and (len(parts) == _MOST or size + len(part) > _MOST_OCTETS):
            bodies.append(b'{"messages":[%b]}' % b",".join(parts))
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    return [*bodies, b'{"messages":[%b]}' % b",".join(parts)] if parts else bodies


def _name(message: str) -> str:
    """An id as a part of a path. Raises NoSuchMessage for what can be none."""
    if not message.isalnum() or not message.isascii():
        raise NoSuchMessage(f"{message!r} is no message id")
    return message


def _read(content: bytes, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"the answer is none of Relay's HTTP API: {error}") from None


def _told(content: bytes) -> _Told:
    try:
        return msgspec.json.decode(content, type=_Told)
    except msgspec.DecodeError:
        return _Told(detail=content[:200].decode("utf-8", "replace"))


def _result(item: _Item) -> Result:
    if item.problem is not None:
        return _error(item.status, item.problem, None)
    return Accepted(item.id, item.repeated)


def _error(status: int, told: _Told, answer: httpx.Response | None) -> RelayError:
    """The error that an answer stands for."""
    detail = told.detail or f"HTTP {status}"
    if told.code == "idempotency-conflict":
        return IdempotencyConflict(Reply(554, "5.5.4", detail))
    if told.code == "store-full":
        return StoreFull(detail)
    if told.errors:
        return InvalidMessage(
            [(one.get("field", ""), one.get("detail", "")) for one in told.errors]
        )
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return TooMuch(detail, _retry_after(answer))
    return _by_status(status, detail)


def _by_status(status: int, detail: str) -> RelayError:
    if status in (401, 403):
        return AccessDenied(detail, known=status == httpx.codes.FORBIDDEN)
    if status == httpx.codes.NOT_FOUND:
        return NoSuchMessage(detail)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return StoreUnavailable(detail)
    return SubmissionRefused(Reply(554, "5.6.0", detail))


def _retry_after(answer: httpx.Response | None) -> float:
    text: Any = answer.headers.get("Retry-After", "") if answer is not None else ""
    return float(text) if text.isdigit() else 0.0
