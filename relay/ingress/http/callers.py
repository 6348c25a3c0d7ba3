"""Who asks: the owner of a token, or a client of a network that needs none. No one else may."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from msgspec import Struct
from starlette.requests import Request

from relay.errors import AccessDenied, RelayError, StoreUnavailable, TooMuch
from relay.identity import Identity, Principal, Refusal
from relay.identity.principal import missing
from relay.ingress.access import Network, client_address, is_allowed
from relay.policy.credential import Scope

#: What a proxy puts in: such a request did not begin where its connection does.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
#: Refusals of one who is known and may not do this.
_FORBIDDEN = ("scope", "sender")


class Caller(Struct, frozen=True):
    """Who asks, and from where."""

    principal: Principal
    address: str

    @property
    def tenant(self) -> str:
        """Whose messages his are."""
        return self.principal.tenant

    @property
    def is_known(self) -> bool:
        """By a token, not by a network alone."""
        return self.principal.kind != "network"

    @property
    def sees(self) -> str | None:
        """The tenant whose messages he sees; None for all: an administrator of no tenant."""
        return None if self.principal.may("admin") and not self.tenant else self.tenant

    def needs(self, scope: Scope) -> None:
        """Raises AccessDenied where he has not got it."""
        if not self.principal.may(scope):
            raise error_of(missing(scope))

    def tenant_of(self, asked: str) -> str:
        """The tenant of a message of his. Raises AccessDenied for that of another."""
        if asked in ("", self.tenant):
            return self.tenant
        if self.sees is None:
            return asked
        raise AccessDenied(f"your messages are those of {self.tenant!r}: leave tenant out")


def error_of(refusal: Refusal) -> RelayError:
    """The error that a refusal is over HTTP."""
    text = refusal.reply.text
    if refusal.why == "store":
        return StoreUnavailable(text)
    if refusal.why in ("quota", "locked", "busy"):
        return TooMuch(text, refusal.again_s)
    return AccessDenied(text, known=refusal.why in _FORBIDDEN)


class Callers:
    """Tells who asks."""

    def __init__(
        self,
        identity: Identity,
        *,
        networks: Iterable[Network] = (),
        tenant: str = "",
        proxies: Iterable[Network] = (),
    ) -> None:
        self._identity = identity
        self._networks = tuple(networks)
        self._open = Principal("", "network", tenant, ("send", "read"), ("*",))
        self._proxies = tuple(proxies)

    async def of(self, request: Request) -> Caller:
        """Who asks. Raises AccessDenied, TooMuch, StoreUnavailable."""
        peer = client_address(tuple(request.client) if request.client else None)
        address = self._address(request, peer)
        given = request.headers.get("authorization", "")
        if given:
            scheme, _, token = given.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise AccessDenied("Authorization is to be Bearer and a token", known=False)
            found = await self._identity.token(token.strip(), address)
            if isinstance(found, Refusal):
                raise error_of(found)
            return Caller(found, address)
        if is_allowed(address, self._networks) and self._is_direct(request, peer):
            return Caller(self._open, address)
        raise AccessDenied("give a token: Authorization: Bearer ...", known=False)

    def _address(self, request: Request, peer: str) -> str:
        """The client's: of those that proxies of ours tell, the last that is none of theirs."""
        if not is_allowed(peer, self._proxies):
            return peer
        told = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for text in reversed([one.strip() for one in told if one.strip()]):
            try:
                address = client_address((text.strip("[]"), 0))
            except ValueError:
                return ""
            if not is_allowed(address, self._proxies):
                return address
        return ""

    def _is_direct(self, request: Request, peer: str) -> bool:
        """Neither through a proxy that is not ours, nor by a name that a web page could have made
        lead here: its scripts could ask whatever they like (DNS rebinding)."""
        if is_allowed(peer, self._proxies):
            return True
        if any(name in request.headers for name in _FORWARDED):
            return False
        host = request.url.hostname or ""
        if host == "localhost":
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
