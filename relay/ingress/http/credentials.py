"""Logins and API tokens over HTTP, for callers with the scope `admin`: those of their own tenant.

What an administrator of a tenant makes may send as nobody that he may not send as himself, and
has no larger quotas; an administrator of no tenant may do what `relay user` and `relay token` do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, structs
from starlette.requests import Request
from starlette.responses import Response

from relay.errors import AccessDenied, BadCredential, NoSuchCredential
from relay.identity.registry import Terms
from relay.identity.views import CredentialView, credential_view
from relay.ingress.http.callers import Caller
from relay.ingress.http.parameters import MOST_LISTED, number
from relay.ingress.http.problems import Refused, invalid, of_decoding
from relay.ingress.http.service import Service, json_answer
from relay.mail.message import Moment
from relay.policy.credential import Credential, Kind, Quotas, canonical_sender, covers

_KINDS: tuple[Kind, ...] = ("user", "token")
_QUOTAS = ("messages_minute", "messages_day", "recipients_minute", "recipients_day")
#: How long the secrets that were there are still taken after a rotation: a day, unless it is said.
_OVERLAP, _LONGEST_OVERLAP = 24 * 3600, 90 * 24 * 3600

Quota = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class CredentialTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a credential is to be; what is left out stays as it was, or takes its default."""

    scopes: Sequence[str] | UnsetType = UNSET
    #: Addresses, domains, .domain (and all below it), or * for any.
    senders: Sequence[str] | UnsetType = UNSET
    #: Where it may be used from; none: anywhere.
    networks: Sequence[str] | UnsetType = UNSET
    #: Quotas of the whole fleet; 0: no limit.
    messages_minute: Quota | UnsetType = UNSET
    messages_day: Quota | UnsetType = UNSET
    recipients_minute: Quota | UnsetType = UNSET
    recipients_day: Quota | UnsetType = UNSET
    #: Null: it does not expire.
    expires_at: Moment | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET
    note: str | UnsetType = UNSET


class NewCredential(CredentialTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A credential that is to be made."""

    #: A user logs in by SMTP, a token is for the HTTP API.
    kind: Kind
    #: In lower case, and of no other tenant's credential of the kind.
    name: str
    #: The caller's own where it is left out.
    tenant: str | UnsetType = UNSET
    #: Of a user; "": one is made.
    password: str = ""


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another secret."""

    #: Seconds that the secrets there are now are still taken.
    overlap: Annotated[int, Meta(ge=0, le=_LONGEST_OVERLAP)] = _OVERLAP
    #: Of a user; "": one is made.
    password: str = ""


class Credentials(Struct, frozen=True):
    """A page of credentials, by kind and name."""

    credentials: tuple[CredentialView, ...]
    #: Gives the next page; null at the end.
    cursor: str | None


_Body = TypeVar("_Body")
_new = msgspec.json.Decoder(NewCredential)
_terms = msgspec.json.Decoder(CredentialTerms)
_rotation = msgspec.json.Decoder(Rotation)


class Administering:
    """The endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = service.registry

    async def listed(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/credentials`."""
        asked = request.query_params
        kind, cursor, tenant = asked.get("kind", ""), asked.get("cursor", ""), caller.sees
        if kind not in ("", *_KINDS):
            raise invalid("kind", f"is none of {', '.join(_KINDS)}")
        if "tenant" in asked and asked["tenant"] != tenant:
            tenant = caller.tenant_of(asked["tenant"])
        limit = number(request, "limit", 50, MOST_LISTED)
        found: list[Credential] = []
        for one in _KINDS:
            found += await self._registry.all(one) if kind in ("", one) else []
        behind = [
            one
            for one in sorted(found, key=_place)
            if tenant in (None, one.tenant) and _place(one) > cursor
        ]
        more = _place(behind[limit - 1]) if len(behind) > limit else None
        now = _now_ms()
        views = tuple(credential_view(one, now) for one in behind[:limit])
        return json_answer(Credentials(views, more))

    async def add(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/credentials`."""
        asked = await self._body(request, _new)
        tenant = caller.tenant_of("" if asked.tenant is UNSET else asked.tenant)
        terms = structs.replace(_as_terms(asked, caller.principal.quotas), tenant=tenant)
        if asked.kind == "token" and asked.password:
            raise BadCredential(["password: a token has none: leave it out"])
        _check(terms, caller)
        made, secret = await self._registry.add(
            asked.kind, asked.name, terms, by=self._by(caller), password=asked.password
        )
        answer = json_answer(credential_view(made, _now_ms(), secret), 201)
        answer.headers["Location"] = f"/v1/credentials/{made.kind}/{made.name}"
        return _private(answer)

    async def show(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/credentials/{kind}/{name}`."""
        return json_answer(credential_view(await self._seen(request, caller), _now_ms()))

    async def change(self, request: Request, caller: Caller) -> Response:
        """`PATCH /v1/credentials/{kind}/{name}`."""
        asked = await self._body(request, _terms)
        seen = await self._seen(request, caller)
        terms = _as_terms(asked, seen.quotas)
        _check(terms, caller)
        after = await self._registry.change(seen.kind, seen.name, terms, by=self._by(caller))
        return json_answer(credential_view(after, _now_ms()))

    async def rotate(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/credentials/{kind}/{name}:rotate`."""
        asked = await self._body(request, _rotation)
        seen = await self._seen(request, caller)
        if seen.kind == "token" and asked.password:
            raise BadCredential(["password: a token has none: leave it out"])
        # Whoever has its secret may do what it may.
        _check(Terms(senders=seen.senders, quotas=seen.quotas), caller)
        after, secret = await self._registry.rotate(
            seen.kind,
            seen.name,
            overlap_s=asked.overlap,
            by=self._by(caller),
            password=asked.password,
        )
        return _private(json_answer(credential_view(after, _now_ms(), secret)))

    async def remove(self, request: Request, caller: Caller) -> Response:
        """`DELETE /v1/credentials/{kind}/{name}`."""
        seen = await self._seen(request, caller)
        await self._registry.remove(seen.kind, seen.name, by=self._by(caller))
        return Response(status_code=204)

    async def _seen(self, request: Request, caller: Caller) -> Credential:
        """The credential, where it is one of the caller's tenant. Raises NoSuchCredential."""
        kind, name = request.path_params["kind"], request.path_params["name"]
        for one in _KINDS:
            if one == kind:
                found = await self._registry.show(one, name)
                if caller.sees in (None, found.tenant):
                    return found
        raise NoSuchCredential(f"there is no {kind} {name}")

    async def _body(self, request: Request, decoder: msgspec.json.Decoder[_Body]) -> _Body:
        try:
            return decoder.decode(await self._service.bodies.json(request))
        except msgspec.DecodeError as error:
            raise Refused(of_decoding(error)) from None

    def _by(self, caller: Caller) -> str:
        return f"{caller.principal} from {caller.address}"


def _as_terms(asked: CredentialTerms, quotas: Quotas) -> Terms:
    """The same as the registry takes it; quotas that are not named are those."""
    named = {
        name: value for name in _QUOTAS if not isinstance(value := getattr(asked, name), UnsetType)
    }
    if isinstance(asked.expires_at, UnsetType):
        expires_ms: int | UnsetType = UNSET
    else:
        expires_ms = round(asked.expires_at.timestamp() * 1000) if asked.expires_at else 0
    return Terms(
        scopes=asked.scopes,
        senders=asked.senders,
        networks=asked.networks,
        quotas=structs.replace(quotas, **named),
        expires_ms=expires_ms,
        disabled=asked.disabled,
        note=asked.note,
    )


def _check(terms: Terms, caller: Caller) -> None:
    """That it may do no more than the caller, who is bound to a tenant. Raises AccessDenied."""
    if caller.sees is None:
        return
    own = caller.principal
    for sender in () if isinstance(terms.senders, UnsetType) else terms.senders:
        canonical = canonical_sender(sender)
        # What is none is told by the registry.
        if isinstance(canonical, str) and not covers(own.senders, canonical):
            raise AccessDenied(f"senders: {sender} is none of yours: {', '.join(own.senders)}")
    for name in _QUOTAS:
        most, given = getattr(own.quotas, name), getattr(terms.quotas, name)
        if most and not 0 < given <= most:
            raise AccessDenied(f"{name}: yours is {most}, and no credential of yours may have more")


def _place(one: Credential) -> str:
    return f"{one.kind}/{one.name}"


def _now_ms() -> float:
    return time.time() * 1000


def _private(answer: Response) -> Response:
    """It has a secret in it, which nothing on the way is to keep."""
    answer.headers["Cache-Control"] = "no-store"
    return answer
