"""Submitting over HTTP: one message, or many with a result for each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs
from starlette.requests import Request
from starlette.responses import Response

from relay import tracing
from relay.api.intake import LONGEST_KEY
from relay.errors import AccessDenied, RelayError
from relay.ingress.http.callers import Caller, error_of
from relay.ingress.http.problems import Problem, Refused, invalid, of_decoding, of_error, problem
from relay.ingress.http.service import Service, json_answer
from relay.mail.compose import Composed
from relay.mail.message import Message
from relay.submission import Accepted, Submission

#: Messages of a batch that are made in one turn of the loop.
_TURN = 25


class Batch(Struct, frozen=True, forbid_unknown_fields=True):
    """Many messages; what `defaults` has holds for each that does not say otherwise."""

    messages: Sequence[msgspec.Raw]
    defaults: dict[str, Any] | UnsetType = UNSET


class BatchResult(Struct, frozen=True, omit_defaults=True):
    """What became of one message of a batch."""

    #: 202, or that of the problem.
    status: int
    id: str = ""
    #: It was accepted before, under the same idempotency key.
    repeated: bool = False
    problem: Problem | None = None


class BatchResults(Struct, frozen=True):
    """In the order of the messages."""

    results: Sequence[BatchResult]


_message = msgspec.json.Decoder(Message)
_batch = msgspec.json.Decoder(Batch)
_fields = msgspec.json.Decoder(dict[str, Any])


class Submitting:
    """The endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def one(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/messages`."""
        body = await self._service.bodies.json(request)
        try:
            message = _keyed(_message.decode(body), _key(request))
        except msgspec.DecodeError as error:
            raise Refused(of_decoding(error)) from None
        parent = _parent(request)
        if message.substitutions is None:
            submission = self._made(message, caller, parent)
        else:
            # A template takes its time, which nobody else is to wait for.
            submission = await asyncio.to_thread(self._made, message, caller, parent)
        await self._spend(submission, caller)
        accepted = await self._service.submitter.submit(submission)
        answer = json_answer(accepted, 202)
        answer.headers["Location"] = f"/v1/messages/{accepted.id}"
        if accepted.repeated:
            answer.headers["Idempotency-Replayed"] = "true"
        return answer

    async def many(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/messages:batch`."""
        body = await self._service.bodies.json(request)
        try:
            batch = _batch.decode(body)
        except msgspec.DecodeError as error:
            raise Refused(of_decoding(error)) from None
        if batch.defaults is not UNSET:
            _check_defaults(batch.defaults)
        most = self._service.options.batch
        if not 1 <= len(batch.messages) <= most:
            raise invalid("messages", f"are {len(batch.messages)}: send 1 to {most}")
        return json_answer(BatchResults(await self._accepted(batch, request, caller)))

    async def _accepted(self, batch: Batch, request: Request, caller: Caller) -> list[BatchResult]:
        """All are said before the first answer is waited for."""
        key, parent = _key(request), _parent(request)
        limited = not caller.principal.quotas.unlimited
        said: list[asyncio.Future[Accepted] | Exception] = []
        for number, raw in enumerate(batch.messages):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            try:
                message = _keyed(_decoded(raw, batch.defaults), f"{key}:{number}" if key else "")
                if message.substitutions is None:
                    submission = self._made(message, caller, parent)
                else:
                    submission = await asyncio.to_thread(self._made, message, caller, parent)
                if limited:
                    said.append(asyncio.create_task(self._within_quotas(submission, caller)))
                else:
                    said.append(self._service.submitter.submit(submission))
            except (RelayError, Refused, msgspec.DecodeError, RecursionError) as error:
                said.append(error)
        return [await _result(one) for one in said]

    async def _within_quotas(self, submission: Submission, caller: Caller) -> Accepted:
        await self._spend(submission, caller)
        return await self._service.submitter.submit(submission)

    async def _spend(self, submission: Submission, caller: Caller) -> None:
        """Count it against the quotas. Raises TooMuch where they are used up, StoreUnavailable."""
        if caller.principal.quotas.unlimited:
            return
        recipients = len(submission.envelope.recipients)
        refusal = await self._service.identity.spend(caller.principal, recipients)
        if refusal is not None:
            raise error_of(refusal)

    def _made(self, message: Message, caller: Caller, parent: str) -> Submission:
        tenant = caller.tenant_of(message.tenant)
        # Who is not known is not let into anybody's traces.
        trace = message.traceparent or parent if caller.is_known else ""
        if (tenant, trace) != (message.tenant, message.traceparent):
            message = structs.replace(message, tenant=tenant, traceparent=trace)

        def check(made: Composed) -> None:
            for field, address in (
                ("from", made.author),
                ("envelope_sender", made.envelope.sender),
            ):
                if address and not caller.principal.may_send_as(address):
                    raise AccessDenied(f"{field}: you may not send as {address}")

        return self._service.intake.submission(message, client=caller.address, check=check)


def _check_defaults(defaults: dict[str, Any]) -> None:
    """What holds for each message must be right by itself. Raises Refused."""
    try:
        msgspec.convert(defaults, Message)
    except msgspec.ValidationError as error:
        raise Refused(of_decoding(error, "defaults")) from None


def _decoded(raw: msgspec.Raw, defaults: dict[str, Any] | UnsetType) -> Message:
    """One message of a batch. Raises msgspec.DecodeError."""
    if defaults is UNSET:
        return _message.decode(raw)
    return msgspec.convert({**defaults, **_fields.decode(raw)}, Message)


def _key(request: Request) -> str:
    """The idempotency key: bare, or quoted as the IETF's draft has it. Raises Refused."""
    key = request.headers.get("idempotency-key", "").strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if len(key) > LONGEST_KEY - 8 or not (key.isprintable() and key.isascii()):
        raise invalid("Idempotency-Key", f"is not ASCII of {LONGEST_KEY - 8} characters at most")
    return key


def _parent(request: Request) -> str:
    """The trace that the request is part of, "" where it says none that can be read."""
    return tracing.context_in(request.headers.get("traceparent", ""))


def _keyed(message: Message, key: str) -> Message:
    """The message with the request's key, where it has none of its own."""
    if not key or message.idempotency_key == key:
        return message
    if message.idempotency_key:
        raise invalid("idempotency_key", "is not that of the header Idempotency-Key: leave one out")
    return structs.replace(message, idempotency_key=key)


async def _result(said: asyncio.Future[Accepted] | Exception) -> BatchResult:
    error: Exception
    if isinstance(said, Exception):
        error = said
    else:
        try:
            accepted = await said
            return BatchResult(202, accepted.id, accepted.repeated)
        except RelayError as failure:
            error = failure
    if isinstance(error, msgspec.DecodeError):
        found: Problem | None = of_decoding(error)
    else:
        found = of_error(error)
    if found is None:
        found = problem(500, "internal", "the message was not accepted")
    return BatchResult(found.status, problem=found)
