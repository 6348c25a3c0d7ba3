"""The registry: credentials made, changed and removed, each change with an event of the audit.

For the command line and the HTTP API; both say who did it. Passwords and tokens are returned once,
by what made them, and are not to be had again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from relay import log
from relay.errors import BadCredential, CredentialExists, NoSuchCredential, StoreUnavailable
from relay.identity.secret import (
    LONGEST_PASSWORD,
    SHORTEST_PASSWORD,
    hash_password,
    hash_token,
    new_password,
    new_token,
)
from relay.mail.address import BadAddress
from relay.mail.text import printable
from relay.policy.credential import (
    SCOPES,
    Credential,
    Kind,
    Quotas,
    Scope,
    Secret,
    canonical_name,
    canonical_sender,
    is_tenant,
)
from relay.store.identity import VERSION, Change, Found, IdentityStore

_log = log.logger("relay.audit")
_T = TypeVar("_T")

#: Secrets that may stand at a time: the newest, and those that a rotation still lets be used.
_MOST_SECRETS = 3
#: Senders and networks of a credential at most: all are looked at for each message.
_MOST_LISTED = 200
_MOST_TRIES = 10


class Terms(Struct, frozen=True, kw_only=True):
    """What a credential is to be; what is UNSET stays as it was, or takes its default."""

    tenant: str | UnsetType = UNSET
    scopes: Sequence[str] | UnsetType = UNSET
    senders: Sequence[str] | UnsetType = UNSET
    networks: Sequence[str] | UnsetType = UNSET
    quotas: Quotas | UnsetType = UNSET
    #: Unix time in milliseconds, 0 for never.
    expires_ms: int | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    note: str | UnsetType = UNSET


class Registry:
    """All of it may raise StoreUnavailable; `by` says who asks: `cli:root`, `token:ops`."""

    def __init__(self, store: IdentityStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    async def add(
        self, kind: Kind, name: str, terms: Terms, *, by: str, password: str = ""
    ) -> tuple[Credential, str]:
        """A new credential and its password or token; a password is made unless one is given.

        Raises BadCredential naming all that is wrong with it, CredentialExists.
        """
        problems: list[str] = []
        good = canonical_name(name)
        if good is None:
            problems.append(_BAD_NAME)
        if password and kind == "user":
            problems += _password_problems(password)
        now = self._now()
        blank = Credential(
            VERSION, kind, good or "x", "", (), ("send",), created_ms=now, changed_ms=now
        )
        credential = _with(blank, terms, problems)
        if "send" in credential.scopes and not credential.senders and not problems:
            problems.append("senders: name the domains or addresses it may send as, or * for any")
        if problems:
            raise BadCredential(problems)
        secret, hashed = await _new_secret(kind, credential.name, password)
        credential = structs.replace(credential, secrets=(Secret(hashed),))
        if not await self._store.change(None, credential, _event("added", credential, by)):
            raise CredentialExists(f"there is a {kind} {credential.name} already")
        _tell("added", credential, by)
        return credential, secret

    async def change(self, kind: Kind, name: str, terms: Terms, *, by: str) -> Credential:
        """Give a credential other terms. Raises BadCredential, NoSuchCredential."""

        def changed(before: Credential) -> Credential:
            problems: list[str] = []
            after = _with(before, terms, problems)
            if "send" in after.scopes and not after.senders:
                problems.append("senders: name what it may send as, or * for any")
            if problems:
                raise BadCredential(problems)
            return after

        return await self._replace(kind, name, "changed", changed, by)

    async def rotate(
        self, kind: Kind, name: str, *, overlap_s: float, by: str, password: str = ""
    ) -> tuple[Credential, str]:
        """Another password or token; those there are stand for so many seconds more.

        Raises BadCredential, NoSuchCredential.
        """
        if password and kind == "user" and (problems := _password_problems(password)):
            raise BadCredential(problems)
        found = await self._found(kind, name)
        secret, hashed = await _new_secret(kind, found.credential.name, password)
        until = self._now() + round(overlap_s * 1000)

        def rotated(before: Credential) -> Credential:
            old = [
                Secret(one.hash, min(one.until_ms or until, until))
                for one in before.secrets
                if overlap_s > 0 and (not one.until_ms or one.until_ms > self._now())
            ]
            kept = (Secret(hashed), *old[: _MOST_SECRETS - 1])
            return structs.replace(before, secrets=kept)

        return await self._replace(kind, name, "rotated", rotated, by), secret

    async def remove(self, kind: Kind, name: str, *, by: str) -> None:
        """Take a credential away for good. Raises NoSuchCredential."""
        for _ in range(_MOST_TRIES):
            found = await self._found(kind, name)
            if await self._store.change(found, None, _event("removed", found.credential, by)):
                _tell("removed", found.credential, by)
                return
        raise StoreUnavailable(f"{kind} {name} is being changed by others all the time")

    async def show(self, kind: Kind, name: str) -> Credential:
        """One credential, hashes of secrets included. Raises NoSuchCredential."""
        return (await self._found(kind, name)).credential

    async def all(self, kind: Kind) -> list[Credential]:
        """All of a kind, by name."""
        return [found.credential for found in await self._store.all(kind)]

    async def changes(self, count: int = 100) -> list[Change]:
        """The last changes of credentials, newest first; about 10,000 are kept."""
        return await self._store.changes(count)

    async def _found(self, kind: Kind, name: str) -> Found:
        good = canonical_name(name)
        found = await self._store.find(kind, good) if good else None
        if found is None:
            raise NoSuchCredential(f"there is no {kind} {printable(name, 128)}")
        return found

    async def _replace(
        self,
        kind: Kind,
        name: str,
        action: str,
        replaced: Callable[[Credential], Credential],
        by: str,
    ) -> Credential:
        for _ in range(_MOST_TRIES):
            found = await self._found(kind, name)
            # The time also makes every record differ from all before it.
            now = max(self._now(), found.credential.changed_ms + 1)
            after = structs.replace(replaced(found.credential), changed_ms=now)
            event = _event(action, after, by, found.credential)
            if await self._store.change(found, after, event):
                _tell(action, after, by, found.credential)
                return after
        raise StoreUnavailable(f"{kind} {name} is being changed by others all the time")

    def _now(self) -> int:
        return round(self._clock() * 1000)


_BAD_NAME = (
    "name: letters, digits and . _ @ + - are allowed, 127 at most, the first a letter or digit"
)


def _with(before: Credential, terms: Terms, problems: list[str]) -> Credential:
    """The credential by these terms; what is wrong with them goes into `problems`."""
    senders = _or(terms.senders, before.senders)
    networks = _or(terms.networks, before.networks)
    scopes = _or(terms.scopes, before.scopes)
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        problems.append(f"scopes: {', '.join(SCOPES)}; not {', '.join(unknown)}")
    if not scopes:
        problems.append("scopes: one at least is needed")
    tenant = _or(terms.tenant, before.tenant)
    if not is_tenant(tenant):
        problems.append("tenant: letters, digits and . _ - are allowed, 64 at most")
    quotas = _or(terms.quotas, before.quotas)
    if min(structs.astuple(quotas)) < 0:
        problems.append("quotas: must not be negative; 0 is no limit")
    note = _or(terms.note, before.note)
    if len(note) > 200 or not note.isprintable():
        problems.append("note: 200 printable characters at most")
    if max(len(senders), len(networks)) > _MOST_LISTED:
        problems.append(f"senders, networks: {_MOST_LISTED} at most")
    return structs.replace(
        before,
        tenant=tenant,
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        senders=_senders(senders, problems),
        networks=_networks(networks, problems),
        quotas=quotas,
        expires_ms=_or(terms.expires_ms, before.expires_ms),
        disabled=_or(terms.disabled, before.disabled),
        note=note,
    )


def _or(given: _T | UnsetType, before: _T) -> _T:
    return before if isinstance(given, UnsetType) else given


def _senders(given: Sequence[str], problems: list[str]) -> tuple[str, ...]:
    good = []
    for text in given:
        sender = canonical_sender(text)
        if isinstance(sender, BadAddress):
            problems.append(
                f"senders: {printable(text, 80)} is no address, domain, .domain or *: {sender.why}"
            )
        else:
            good.append(sender)
    return tuple(dict.fromkeys(good))


def _networks(given: Sequence[str], problems: list[str]) -> tuple[str, ...]:
    good = []
    for text in given:
        try:
            good.append(str(ip_network(text)))
        except ValueError as error:
            problems.append(f"networks: {printable(str(error), 120)}")
    return tuple(dict.fromkeys(good))


def _password_problems(password: str) -> list[str]:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return [f"password: {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters are needed"]
    if any(ord(char) < 32 or ord(char) == 127 for char in password):
        return ["password: no control characters"]
    return []


async def _new_secret(kind: Kind, name: str, password: str) -> tuple[str, str]:
    """A password or token, and its hash."""
    if kind == "token":
        token = new_token(name)
        return token, hash_token(token)
    password = password or new_password()
    return password, await asyncio.to_thread(hash_password, password)


def _event(
    action: str, after: Credential, by: str, before: Credential | None = None
) -> dict[str, str]:
    return {
        "action": action,
        "kind": after.kind,
        "name": after.name,
        "tenant": after.tenant,
        "by": printable(by, 200),
        **({"changes": _changes(before, after)} if before is not None else {}),
    }


def _changes(before: Credential, after: Credential) -> str:
    """What differs, in JSON, secrets left out."""
    old, new = structs.asdict(before), structs.asdict(after)
    differs = {
        name: [old[name], new[name]]
        for name in new
        if old[name] != new[name] and name not in ("secrets", "changed_ms")
    }
    return msgspec.json.encode(differs).decode()[:2000]


def _tell(action: str, after: Credential, by: str, before: Credential | None = None) -> None:
    event = _event(action, after, by, before)
    event["credential"] = event.pop("name")
    _log.info("credential " + event.pop("action"), **event)


__all__ = ["Registry", "Scope", "Terms"]
