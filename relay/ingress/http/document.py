"""The API's own document, OpenAPI 3.1: made of the same types that read requests and answers."""

from __future__ import annotations

import html
from typing import Any

import msgspec

from relay.console.complaints import ComplaintView
from relay.console.events import EventView
from relay.console.views import MessageView
from relay.identity.views import CredentialView
from relay.ingress.http.complaining import REPORT, NewComplaint
from relay.ingress.http.credentials import (
    Credentials,
    CredentialTerms,
    NewCredential,
    Rotation,
)
from relay.ingress.http.following import Cancelled, Listed, Reschedule, Rescheduled
from relay.ingress.http.parameters import MOST_LISTED
from relay.ingress.http.problems import Problem
from relay.ingress.http.submitting import BatchResults
from relay.mail.message import Message
from relay.store.listing import Where
from relay.submission import Accepted
from relay.version import __version__

_TYPES = (
    *(Message, Accepted, BatchResults, MessageView, Cancelled, Rescheduled, Reschedule, Listed),
    *(EventView, Problem, NewComplaint, ComplaintView),
    *(Credentials, CredentialView, CredentialTerms, NewCredential, Rotation),
)
_REF = "#/components/schemas/{name}"
_ABOUT = """\
Hand messages to Relay and follow them. 202 means that a message is durable. What went wrong is a
problem document (RFC 9457) whose `errors` name the fields. Send `Idempotency-Key` with whatever you
may have to send again: the same key and message within 24 hours give the same id, and nothing is
sent twice.
"""

Object = dict[str, Any]


def document() -> Object:
    """The whole document."""
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template=_REF)
    schemas["Message"]["properties"] |= {
        "weight": {"type": "integer", "minimum": 1, "maximum": 100, "default": 1},
        "ret": {"enum": ["", "full", "headers"], "default": ""},
    }
    schemas["Batch"] = {
        "type": "object",
        "properties": {
            "messages": {"type": "array", "minItems": 1, "maxItems": 1000,
                         "items": {"$ref": _REF.format(name="Message")}},
            "defaults": {"$ref": _REF.format(name="Message"),
                         "description": "Holds for each message that does not say otherwise."},
        },
        "required": ["messages"],
        "additionalProperties": False,
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Relay",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {}],
        "paths": _paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> Object:
    return {
        **_message_paths(),
        "/v1/complaints": {
            "post": _operation(
                "Note that a recipient complained: a feedback report (RFC 5965), or its message",
                "NewComplaint",
                {"202": "ComplaintView"},
                raw=REPORT,
            )
        },
        "/v1/events": {
            "get": _operation(
                "Follow events as they happen (server-sent events, each with an EventView as data)",
                "",
                {"200": ""},
                [_parameter("after", "header", name="Last-Event-ID"), _parameter("after", "query")],
            )
        },
        **_credential_paths(),
        "/v1/suppressions": {
            "get": _operation("Not there yet: its place is kept (501)", "", {"501": "Problem"})
        },
    }


def _message_paths() -> Object:
    one = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    return {
        "/v1/messages": {
            "post": _operation("Submit a message", "Message", {"202": "Accepted"}, key=True),
            "get": _operation(
                "List deliveries that are not final; by recipient or tag also those that are "
                "(where store.index has it)",
                "",
                {"200": "Listed"},
                _list_parameters(),
            ),
        },
        "/v1/messages:batch": {
            "post": _operation(
                "Submit many messages; a result for each, in their order",
                "Batch",
                {"200": "BatchResults"},
                key=True,
            )
        },
        "/v1/messages/{id}": {
            "get": _operation(
                "What has become of a message, recipient by recipient",
                "",
                {"200": "MessageView"},
                one,
            )
        },
        "/v1/messages/{id}:cancel": {
            "post": _operation("Stop what is not delivered yet", "", {"200": "Cancelled"}, one)
        },
        "/v1/messages/{id}:reschedule": {
            "post": _operation(
                "Attempt what is not delivered yet at another time",
                "Reschedule",
                {"200": "Rescheduled"},
                one,
            )
        },
        "/v1/messages/{id}:send-now": {
            "post": _operation(
                "Attempt what is not delivered yet now", "", {"200": "Rescheduled"}, one
            )
        },
    }


def _credential_paths() -> Object:
    one = [
        {"name": "kind", "in": "path", "required": True, "schema": {"enum": ["user", "token"]}},
        {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
    ]
    return {
        "/v1/credentials": {
            "get": _operation(
                "List logins and tokens (scope admin)",
                "",
                {"200": "Credentials"},
                [
                    _parameter("kind", "query", schema={"enum": ["user", "token"]}),
                    _parameter("tenant", "query"),
                    *_page_parameters(),
                ],
            ),
            "post": _operation(
                "Make a login or a token; its secret is in this answer alone",
                "NewCredential",
                {"201": "CredentialView"},
            ),
        },
        "/v1/credentials/{kind}/{name}": {
            "get": _operation("What it may do", "", {"200": "CredentialView"}, one),
            "patch": _operation(
                "Give it other terms, or disable it; what is left out stays",
                "CredentialTerms",
                {"200": "CredentialView"},
                one,
            ),
            "delete": _operation("Take it away for good", "", {"204": ""}, one),
        },
        "/v1/credentials/{kind}/{name}:rotate": {
            "post": _operation(
                "Make another secret; the old one ends later",
                "Rotation",
                {"200": "CredentialView"},
                one,
            )
        },
    }


def _operation(
    summary: str,
    body: str,
    answers: dict[str, str],
    parameters: list[Object] | None = None,
    *,
    key: bool = False,
    raw: str = "",
) -> Object:
    found: Object = {
        "summary": summary,
        "responses": {
            **{status: _content(status, name) for status, name in answers.items()},
            "default": {
                "description": "A problem: errors name the fields",
                "content": {
                    "application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}
                },
            },
        },
    }
    if parameters or key:
        found["parameters"] = [
            *(parameters or []),
            *([_parameter("", "header", name="Idempotency-Key")] if key else []),
        ]
    if body:
        found["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": _REF.format(name=body)}},
                **({raw: {"schema": {"type": "string", "format": "binary"}}} if raw else {}),
            },
        }
    return found


def _content(status: str, name: str) -> Object:
    if status == "204":
        return {"description": "It is done"}
    if not name:
        stream = {"text/event-stream": {"schema": {"type": "string"}}}
        return {"description": "A stream that goes on", "content": stream}
    schema = {"schema": {"$ref": _REF.format(name=name)}}
    kind = "application/problem+json" if name == "Problem" else "application/json"
    return {"description": name, "content": {kind: schema}}


def _parameter(about: str, place: str, *, name: str = "", schema: Object | None = None) -> Object:
    return {"name": name or about, "in": place, "schema": schema or {"type": "string"}}


def _list_parameters() -> list[Object]:
    time = {"type": "string", "format": "date-time"}
    return [
        _parameter("state", "query", schema={"enum": [str(one) for one in Where]}),
        _parameter("domain", "query"),
        _parameter("recipient", "query"),
        _parameter("tag", "query"),
        _parameter("tenant", "query"),
        _parameter("since", "query", schema=time),
        _parameter("until", "query", schema=time),
        *_page_parameters(),
    ]


def _page_parameters() -> list[Object]:
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_LISTED}
    return [_parameter("limit", "query", schema=limit), _parameter("cursor", "query")]


def page(written: Object) -> str:
    """The document for people: one page that loads nothing from anywhere."""
    pieces = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Relay's HTTP API</title>",
        "<style>body{font:16px/1.5 system-ui;max-width:50em;margin:2em auto;padding:0 1em}"
        "code{background:#f3f3f3;padding:0 .2em}dt{margin-top:.5em}</style>",
        f"<h1>Relay's HTTP API</h1><p>{_text(written['info']['description'])}</p>",
        "<p>For programs: <a href=/openapi.json>openapi.json</a></p><h2>Requests</h2><dl>",
    ]
    for path, operations in written["paths"].items():
        for method, operation in operations.items():
            pieces.append(f"<dt><code>{method.upper()} {_text(path)}</code></dt>")
            names = ", ".join(_text(one["name"]) for one in operation.get("parameters", []))
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            takes = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
            said = [operation["summary"], f"takes {takes}" if takes else "", names]
            pieces.append(f"<dd>{'; '.join(one for one in said if one)}</dd>")
    pieces.append("</dl><h2>Types</h2>")
    for name, schema in written["components"]["schemas"].items():
        pieces.append(f"<h3>{_text(name)}</h3><p>{_text(schema.get('description', ''))}</p><ul>")
        for field in schema.get("properties", {}):
            pieces.append(f"<li><code>{_text(field)}</code></li>")
        pieces.append("</ul>")
    return "".join(pieces)


def _text(text: str) -> str:
    return html.escape(text)
