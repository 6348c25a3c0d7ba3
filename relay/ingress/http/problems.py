"""What went wrong, as a document of RFC 9457: a word for programs, a text, the fields."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct
from starlette.responses import Response

from relay.errors import (
    AccessDenied,
    BadCredential,
    CredentialExists,
    IdempotencyConflict,
    InvalidMessage,
    NoSuchCredential,
    NoSuchMessage,
    StoreFull,
    StoreUnavailable,
    SubmissionRefused,
    TooMuch,
)
from relay.mail.text import printable

#: Seconds after which a client is asked to come again, where nothing better is known.
_AGAIN = 5
_AT = re.compile(r" - at `(?:key in )?(.*)`$", re.DOTALL)

_TITLES = {
    "access-denied": "This may not be done",
    "bad-request": "The request is not understood",
    "busy": "Too much is under way",
    "exists": "There is one already",
    "idempotency-conflict": "The key stands for another message",
    "internal": "Something is broken",
    "invalid-credential": "A credential cannot be so",
    "invalid-message": "No message can be made of this",
    "invalid-request": "A parameter is not right",
    "method-not-allowed": "This cannot be done here",
    "not-implemented": "This is not there yet",
    "no-token": "A token is needed",
    "not-found": "There is nothing here",
    "quota": "More than is allowed",
    "refused": "The message was refused",
    "store-full": "The queue is full",
    "store-unavailable": "The store gives no answer",
    "timeout": "The request came in too slowly",
    "too-large": "The request is too large",
    "unsupported": "This kind of content is not understood",
}


class FieldProblem(Struct, frozen=True):
    """One field, as a path such as `to[1]`, and what is wrong with it."""

    field: str
    detail: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457)."""

    #: A word that does not change; `type` is made of it.
    code: str
    status: int
    detail: str
    type: str = ""
    title: str = ""
    #: The id of the request, as in the log.
    instance: str = ""
    errors: tuple[FieldProblem, ...] = ()
    #: Seconds after which it may work; 0 where waiting changes nothing.
    retry_after: int = 0


def problem(
    status: int,
    code: str,
    detail: str,
    errors: tuple[FieldProblem, ...] = (),
    retry_after: float = 0,
) -> Problem:
    """A problem of one of the kinds that the document of the API lists."""
    return Problem(
        code=code,
        status=status,
        detail=printable(detail),
        type=f"urn:relay:problem:{code}",
        title=_TITLES[code],
        errors=errors,
        retry_after=math.ceil(retry_after),
    )


class Refused(Exception):
    """A request that cannot be answered as asked."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def invalid(field: str, detail: str) -> Refused:
    """A parameter of the request that is not right."""
    return Refused(
        problem(422, "invalid-request", f"{field} {detail}", (FieldProblem(field, detail),))
    )


def of_error(error: Exception) -> Problem | None:
    """The problem that an error of Relay's stands for; None for any other error."""
    found: Problem | None = None
    if isinstance(error, Refused):
        found = error.problem
    elif isinstance(error, InvalidMessage):
        errors = tuple(
            FieldProblem(printable(name, 200), printable(why)) for name, why in error.problems
        )
        found = problem(422, "invalid-message", str(error), errors)
    elif isinstance(error, IdempotencyConflict):
        found = problem(422, "idempotency-conflict", "the key was used for another message")
    elif isinstance(error, AccessDenied):
        found = (
            problem(403, "access-denied", str(error))
            if error.known
            else problem(401, "no-token", str(error))
        )
    elif isinstance(error, TooMuch):
        found = problem(429, "quota", str(error), retry_after=error.retry_after or _AGAIN)
    elif isinstance(error, NoSuchMessage | NoSuchCredential):
        found = problem(404, "not-found", str(error))
    elif isinstance(error, CredentialExists):
        found = problem(409, "exists", str(error))
    elif isinstance(error, BadCredential):
        found = problem(422, "invalid-credential", str(error), tuple(_fields(error.problems)))
    elif isinstance(error, RecursionError):
        found = problem(400, "bad-request", "the body is nested too deeply")
    else:
        found = _of_store(error)
    return found


def _fields(problems: Iterable[str]) -> Iterator[FieldProblem]:
    """Each begins with its field, or several that it is about."""
    for text in problems:
        names, _, detail = text.partition(": ")
        yield from (FieldProblem(name, printable(detail)) for name in names.split(", "))


def _of_store(error: Exception) -> Problem | None:
    if isinstance(error, StoreFull):
        return problem(503, "store-full", "try again later", retry_after=_AGAIN)
    if isinstance(error, StoreUnavailable):
        return problem(503, "store-unavailable", "try again, with the same key", retry_after=_AGAIN)
    if isinstance(error, SubmissionRefused):
        if error.reply.code // 100 == 4:
            return problem(503, "store-full", str(error.reply), retry_after=_AGAIN)
        return problem(422, "refused", str(error.reply))
    return None


def of_decoding(error: msgspec.DecodeError, place: str = "") -> Problem:
    """What msgspec says of JSON that does not fit: which field, and what is expected there."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return problem(400, "bad-request", f"the body is no JSON: {text}")
    at = _AT.search(text)
    path = at[1].removeprefix("$").removeprefix(".") if at else ""
    field = ".".join(part for part in (place, path) if part)
    detail = text[: at.start()] if at else text
    return problem(
        422,
        "invalid-message",
        f"{field} {detail}".strip(),
        (FieldProblem(printable(field, 200), printable(detail)),),
    )


def answer(found: Problem, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as an answer."""
    named = msgspec.structs.replace(found, instance=f"urn:relay:request:{request_id}")
    more = dict(headers or {})
    if found.retry_after:
        more["Retry-After"] = str(found.retry_after)
    if found.status == 401:
        more["WWW-Authenticate"] = 'Bearer realm="relay"'
    return Response(
        msgspec.json.encode(named),
        found.status,
        headers=more,
        media_type="application/problem+json",
    )
