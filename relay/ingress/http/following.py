"""Looking and controlling over HTTP: status, lists, cancelling, other times, and events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from relay import metrics
from relay.api.intake import FARTHEST_MS
from relay.console.events import EventView
from relay.console.views import CancelView, ListedView, MessageView, RescheduleView
from relay.errors import NoSuchMessage, StoreUnavailable
from relay.ingress.http.callers import Caller
from relay.ingress.http.parameters import MOST_LISTED, list_wanted, number
from relay.ingress.http.problems import Refused, invalid, of_decoding, problem
from relay.ingress.http.service import Service, json_answer
from relay.mail.message import Moment

#: Seconds between two looks for events, and between signs of life where there are none.
_POLL, _ALIVE = 0.25, 15.0


class Reschedule(Struct, frozen=True, forbid_unknown_fields=True):
    """When to attempt what is not delivered yet."""

    send_at: Moment


class Cancelled(Struct, frozen=True):
    """An answer for each delivery."""

    deliveries: tuple[CancelView, ...]


class Rescheduled(Struct, frozen=True):
    """An answer for each delivery."""

    deliveries: tuple[RescheduleView, ...]


class Listed(Struct, frozen=True):
    """A page of deliveries: those that are not final, or what a recipient or tag finds."""

    deliveries: tuple[ListedView, ...]
    #: Gives the next page, which may have fewer or none; null at the end.
    cursor: str | None


_reschedule = msgspec.json.Decoder(Reschedule)


class Following:
    """The endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams = 0

    async def status(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/messages/{id}`."""
        return json_answer(await self._seen(request, caller))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/messages/{id}:cancel`."""
        message = await self._seen(request, caller)
        return json_answer(Cancelled(await self._service.console.cancel(message.id)))

    async def send_now(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/messages/{id}:send-now`."""
        message = await self._seen(request, caller)
        return json_answer(Rescheduled(await self._service.console.reschedule(message.id)))

    async def reschedule(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/messages/{id}:reschedule`."""
        try:
            asked = _reschedule.decode(await self._service.bodies.json(request))
        except msgspec.DecodeError as error:
            raise Refused(of_decoding(error)) from None
        if asked.send_at > datetime.now(UTC) + timedelta(milliseconds=FARTHEST_MS):
            raise invalid("send_at", "is more than 90 days ahead")
        message = await self._seen(request, caller)
        moved = await self._service.console.reschedule(message.id, asked.send_at)
        return json_answer(Rescheduled(moved))

    async def listed(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/messages`."""
        wanted = list_wanted(request, caller, self._service.options.index)
        limit = number(request, "limit", 50, MOST_LISTED)
        try:
            found, cursor = await self._service.console.deliveries(
                wanted, request.query_params.get("cursor", ""), limit
            )
        except ValueError as error:
            raise invalid("cursor", str(error)) from None
        return json_answer(Listed(found, cursor or None))

    async def events(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/events`: server-sent events."""
        if self._streams >= self._service.options.streams:
            raise Refused(problem(429, "quota", "too many streams are open", retry_after=30))
        events = self._service.events
        asked = request.headers.get("last-event-id") or request.query_params.get("after", "")
        try:
            # A look at once, so that an id that is none is told as that.
            cursor = asked or await events.now()
            found, cursor = await events.after(cursor, tenant=caller.sees)
        except ValueError as error:
            raise invalid("Last-Event-ID", str(error)) from None
        return StreamingResponse(
            self._stream(found, cursor, caller),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _stream(
        self, found: list[EventView], cursor: str, caller: Caller
    ) -> AsyncIterator[bytes]:
        service, stopping = self._service, self._service.stopping
        loop = asyncio.get_running_loop()
        self._streams += 1
        metrics.HTTP_STREAMS.inc()
        try:
            yield b"retry: 2000\n\n"
            alive = loop.time()
            while not stopping.is_set():
                if found:
                    yield b"".join(map(_sent, found))
                    alive = loop.time()
                elif loop.time() - alive >= _ALIVE:
                    # With an id, so that who comes back need not look at what was others'.
                    yield b": alive\nid: %b\n\n" % cursor.encode()
                    alive = loop.time()
                before = cursor
                try:
                    found, cursor = await service.events.after(cursor, tenant=caller.sees)
                except StoreUnavailable:
                    return
                if cursor == before:
                    await _wait(stopping, _POLL)
        finally:
            self._streams -= 1
            metrics.HTTP_STREAMS.dec()

    async def _seen(self, request: Request, caller: Caller) -> MessageView:
        """The message, where it is one of the caller's. Raises NoSuchMessage: others' are none."""
        name = request.path_params["id"]
        message = await self._service.console.message(name)
        if caller.sees not in (None, message.tenant):
            raise NoSuchMessage(f"{name}: no such message, or its record's time is over")
        return message


def _sent(event: EventView) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        event.id.encode(),
        event.type.encode(),
        msgspec.json.encode(event),
    )


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
