"""Complaints over HTTP: a feedback report as it came, or the message that one is about."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from relay.console.complaints import ComplaintView
from relay.ingress.http.callers import Caller
from relay.ingress.http.problems import Refused, invalid, of_decoding, problem
from relay.ingress.http.service import Service, json_answer
from relay.mail.feedback import NoReport, complainant, feedback

#: The type of a feedback report: a message.
REPORT = "message/rfc822"


class NewComplaint(Struct, frozen=True, forbid_unknown_fields=True):
    """A complaint about a message whose id is known."""

    #: The id from the answer that accepted the message.
    message: str
    #: Who complained, where that is known.
    recipient: str = ""
    kind: Literal["abuse", "fraud", "virus", "other", "opt-out", "opt-out-list"] = "abuse"


_new = msgspec.json.Decoder(NewComplaint)


class Complaining:
    """The endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def take(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/complaints`."""
        if request.headers.get("content-type", "").lower().startswith(REPORT):
            view = await self._of_report(await self._service.bodies.message(request), caller)
        else:
            view = await self._of_fields(await self._service.bodies.json(request), caller)
        return json_answer(view, 202)

    async def _of_report(self, octets: bytes, caller: Caller) -> ComplaintView:
        try:
            # To read a long report takes its time, which nobody else is to wait for.
            report = await asyncio.to_thread(feedback, octets)
        except NoReport as error:
            why = f"the body is no feedback report: {error}"
            raise Refused(problem(422, "invalid-request", why)) from None
        return await self._service.complaints.take(report, tenant=caller.tenant, sees=caller.sees)

    async def _of_fields(self, body: bytes, caller: Caller) -> ComplaintView:
        try:
            said = _new.decode(body)
        except msgspec.DecodeError as error:
            raise Refused(of_decoding(error)) from None
        recipient = complainant(said.recipient)
        if said.recipient and not recipient:
            raise invalid("recipient", "is no address")
        return await self._service.complaints.take_about(
            said.message, recipient, said.kind, tenant=caller.tenant, sees=caller.sees
        )
