"""The HTTP API as an ASGI application: its routes, and answers to what none of them takes."""

from __future__ import annotations

from uuid import uuid4

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match, Route

from relay import metrics
from relay.ingress.http.callers import Caller
from relay.ingress.http.complaining import Complaining
from relay.ingress.http.credentials import Administering
from relay.ingress.http.document import document, page
from relay.ingress.http.following import Following
from relay.ingress.http.problems import Refused, answer, problem
from relay.ingress.http.service import Endpoint, Open, Service, endpoint, json_answer
from relay.ingress.http.submitting import Submitting
from relay.policy.credential import Scope


class _Id(StringConvertor):
    """An id ends where a colon says what is to be done with it."""

    regex = "[^/:]+"


register_url_convertor("message", _Id())
_ONE = "/v1/messages/{id:message}"
_CREDENTIAL = "/v1/credentials/{kind:message}/{name:message}"


def application(service: Service) -> Starlette:
    """All routes, over what they work with."""
    under_way = Open(service.options.requests)
    submitting, following = Submitting(service), Following(service)
    complaining = Complaining(service)
    administering = Administering(service)
    written = document()

    def route(path: str, method: str, name: str, scope: Scope, work: Endpoint) -> Route:
        return Route(path, endpoint(service, under_way, name, scope, work), methods=[method])

    async def as_json(request: Request) -> Response:
        metrics.HTTP_REQUESTS["document", "200"].inc()
        return json_answer(written)

    async def as_page(request: Request) -> Response:
        metrics.HTTP_REQUESTS["document", "200"].inc()
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return HTMLResponse(page(written), headers={"Content-Security-Policy": policy})

    return Starlette(
        routes=[
            route("/v1/messages", "POST", "submit", "send", submitting.one),
            route("/v1/messages:batch", "POST", "batch", "send", submitting.many),
            route("/v1/messages", "GET", "list", "read", following.listed),
            route(f"{_ONE}:cancel", "POST", "cancel", "send", following.cancel),
            route(f"{_ONE}:reschedule", "POST", "reschedule", "send", following.reschedule),
            route(f"{_ONE}:send-now", "POST", "send-now", "send", following.send_now),
            route(_ONE, "GET", "status", "read", following.status),
            route("/v1/events", "GET", "events", "read", following.events),
            route("/v1/complaints", "POST", "complaints", "send", complaining.take),
            route("/v1/credentials", "GET", "credentials", "admin", administering.listed),
            route("/v1/credentials", "POST", "credentials", "admin", administering.add),
            route(_CREDENTIAL, "GET", "credentials", "admin", administering.show),
            route(_CREDENTIAL, "PATCH", "credentials", "admin", administering.change),
            route(_CREDENTIAL, "DELETE", "credentials", "admin", administering.remove),
            route(f"{_CREDENTIAL}:rotate", "POST", "credentials", "admin", administering.rotate),
            route("/v1/suppressions", "GET", "suppressions", "read", _reserved),
            Route("/openapi.json", as_json, methods=["GET"]),
            Route("/docs", as_page, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _not_here},
    )


async def _reserved(request: Request, caller: Caller) -> Response:
    """A place that is kept: what will stand here is not there yet."""
    raise Refused(problem(501, "not-implemented", "there is no suppression list yet"))


async def _not_here(request: Request, error: Exception) -> Response:
    """No route, or none for this method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    metrics.HTTP_REQUESTS["none", str(status)].inc()
    headers = {}
    if status == 405:
        matched = [
            route.methods or ()
            for route in request.app.routes
            if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        ]
        headers["Allow"] = ", ".join(sorted({method for methods in matched for method in methods}))
        found = problem(405, "method-not-allowed", f"{request.method} cannot be done here")
    else:
        found = problem(404, "not-found", "no such path: /docs has those that there are")
    request_id = uuid4().hex
    answered = answer(found, request_id, headers)
    answered.headers["X-Request-Id"] = request_id
    return answered
