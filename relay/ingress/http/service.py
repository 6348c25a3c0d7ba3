"""What the endpoints of the HTTP API have to work with, and what they all do the same way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from relay import log, metrics
from relay.api.intake import Intake
from relay.console.complaints import ComplaintDesk
from relay.console.events import Events
from relay.console.status import StoreConsole
from relay.identity import Identity
from relay.identity.registry import Registry
from relay.ingress.http import problems
from relay.ingress.http.bodies import Bodies
from relay.ingress.http.callers import Caller, Callers
from relay.policy.credential import Scope
from relay.store.index import NOTHING, Index
from relay.submission import Submitter

_log = log.logger("relay.http")
_encode = msgspec.json.encode

#: An endpoint: what it answers to a caller's request.
Endpoint = Callable[[Request, Caller], Awaitable[Response]]


class HttpOptions(Struct, frozen=True, kw_only=True):
    """Limits of the API."""

    batch: int = 1000
    requests: int = 500
    streams: int = 50
    #: By what messages are found.
    index: Index = NOTHING


class Service(Struct, frozen=True, kw_only=True):
    """One for each process."""

    submitter: Submitter
    intake: Intake
    console: StoreConsole
    events: Events
    complaints: ComplaintDesk
    callers: Callers
    identity: Identity
    registry: Registry
    bodies: Bodies
    options: HttpOptions
    #: Set when the role is told to stop: streams of events end then.
    stopping: asyncio.Event


class Open:
    """How many requests are under way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    def __enter__(self) -> None:
        if self._count >= self._most:
            raise problems.Refused(
                problems.problem(503, "busy", "too many requests are under way", retry_after=2)
            )
        self._count += 1
        metrics.HTTP_OPEN.inc()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        metrics.HTTP_OPEN.dec()


def endpoint(
    service: Service, under_way: Open, route: str, scope: Scope, work: Endpoint
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint as Starlette takes it: who asks is known, and every failure a problem."""

    async def answer(request: Request) -> Response:
        began = time.monotonic()
        request_id = uuid4().hex
        try:
            with under_way:
                caller = await service.callers.of(request)
                caller.needs(scope)
                answered = await work(request, caller)
        except Exception as error:  # noqa: BLE001 - every failure has an answer
            answered = _failed(error, request_id)
        answered.headers["X-Request-Id"] = request_id
        metrics.HTTP_REQUESTS[route, str(answered.status_code)].inc()
        if route != "events":
            metrics.HTTP_SECONDS.observe(time.monotonic() - began)
        return answered

    return answer


def _failed(error: Exception, request_id: str) -> Response:
    found = problems.of_error(error)
    if found is None:
        _log.error("a request failed", request=request_id, exc_info=error)
        found = problems.problem(500, "internal", "the log has it under this request's id")
    elif found.code in ("no-token", "access-denied"):
        metrics.REFUSED["http", "access"].inc()
    elif found.code == "quota":
        metrics.REFUSED["http", "quota"].inc()
    elif found.status in (400, 413, 415, 422) and found.code != "idempotency-conflict":
        metrics.REFUSED["http", "size" if found.status == 413 else "syntax"].inc()
    return problems.answer(found, request_id)


def json_answer(value: object, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(_encode(value), status, media_type="application/json")
