"""Parameters of a request's query, each refused by its name where it is not right."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.requests import Request

from relay.ingress.http.callers import Caller
from relay.ingress.http.problems import invalid
from relay.mail.address import BadAddress, canonical_domain, parse_mailbox
from relay.mail.message import Moment
from relay.store.index import Index
from relay.store.listing import Wanted, Where

#: Entries of one page at most.
MOST_LISTED = 200
_MOMENT = msgspec.json.Decoder(Moment)


def list_wanted(request: Request, caller: Caller, index: Index) -> Wanted:
    """What `GET /v1/messages` asks for. Raises Refused, AccessDenied."""
    asked = request.query_params
    try:
        where = Where(asked.get("state", Where.ALL))
    except ValueError:
        raise invalid("state", f"is none of {', '.join(Where)}") from None
    recipient, tag = _sought(asked, index)
    if where is Where.FINAL and not (recipient or tag):
        raise invalid("state", "can be final where a recipient or tag is named, only")
    domain = asked.get("domain", "")
    if "domain" in asked:
        found = canonical_domain(domain)
        if not isinstance(found, str):
            raise invalid("domain", f"is no domain: {found.why}")
        domain = found
    tenant = caller.sees
    if "tenant" in asked and asked["tenant"] != tenant:
        tenant = caller.tenant_of(asked["tenant"])
    return Wanted(
        where=where,
        domain=domain,
        tenant=tenant,
        since_ms=_ms(request, "since"),
        until_ms=_ms(request, "until"),
        recipient=recipient,
        tag=tag,
    )


def _sought(asked: Mapping[str, str], index: Index) -> tuple[str, str]:
    """The recipient or the tag that is asked for. Raises Refused, also where it is not indexed."""
    recipient, tag = asked.get("recipient", ""), asked.get("tag", "")
    for name, on in (("recipient", index.recipients), ("tag", index.tags)):
        if name in asked and not on:
            why = f"is not indexed: the operator can turn that on (store.index = {name}s)"
            raise invalid(name, why)
        if name in asked and not asked[name]:
            raise invalid(name, "is empty")
    if recipient and tag:
        raise invalid("tag", "does not go with recipient: leave one out")
    if recipient:
        found = parse_mailbox(recipient, smtputf8=True)
        if isinstance(found, BadAddress):
            raise invalid("recipient", f"is no address: {found.why}")
        recipient = found
    return recipient, tag


def _ms(request: Request, name: str) -> int:
    text = request.query_params.get(name)
    if text is None:
        return 0
    try:
        return max(0, round(_MOMENT.decode(msgspec.json.encode(text)).timestamp() * 1000))
    except (msgspec.DecodeError, ValueError, OverflowError):
        raise invalid(name, "is no time with a zone such as 2026-01-31T12:00:00Z") from None


def number(request: Request, name: str, default: int, most: int) -> int:
    """A number from 1 to `most` of the query. Raises Refused."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isdecimal() and text.isascii() and len(text) < 6 and 1 <= int(text) <= most):
        raise invalid(name, f"is no number from 1 to {most}")
    return int(text)
