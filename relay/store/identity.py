"""Credentials, failed logins and quotas in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from relay.errors import DamagedRecord, NewerRecord
from relay.policy.credential import Credential, Kind, Quotas
from relay.store import identity_keys as keys
from relay.store.client import StoreClient
from relay.store.script import script

_CREDENTIAL, _LOGIN, _SPEND = script("credential"), script("login"), script("spend")

Verb = Literal["look", "failed", "passed"]

#: The version of credentials that this code writes; it reads this one and older ones.
VERSION = 1
#: Events of the audit that are kept, about.
_KEPT = 10_000
#: Messages in one call of spend at most.
MOST_SPENT = 100
#: Seconds that a login or a submission waits for the store.
_PATIENCE = 10.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Credential).decode
_version = msgspec.msgpack.Decoder(list[Any]).decode


class Found(Struct, frozen=True):
    """A credential, and its record as it was read: a change names it, so that none is lost."""

    credential: Credential
    record: bytes


class Failures(Struct, frozen=True):
    """Failed logins of a client or an account that count now."""

    count: int
    #: Until the oldest of them counts no more; 0 where there is none.
    again_ms: int
    #: The client has logged in to the account lately.
    known: bool


class Spent(Struct, frozen=True):
    """For each message whether it fits; the first quota that was used up, "" for none."""

    fits: tuple[bool, ...]
    quota: str
    again_ms: int


class Change(Struct, frozen=True):
    """An event of the audit."""

    id: str
    fields: Mapping[str, str]


class IdentityStore:
    """Every call raises StoreUnavailable where the store is away, and UnreadableRecord where it
    cannot read a credential."""

    def __init__(self, client: StoreClient) -> None:
        self._client = client

    async def find(self, kind: Kind, name: str) -> Found | None:
        """The credential with that name."""
        record = await self._client.read("HGET", keys.credentials(kind), name)
        return None if record is None else _found(record)

    async def all(self, kind: Kind) -> list[Found]:
        """All of a kind, by name."""
        found: dict[str, Found] = {}
        cursor = b"0"
        while True:
            cursor, flat = await self._client.read(
                "HSCAN", keys.credentials(kind), cursor, "COUNT", 500
            )
            for record in flat[1::2]:
                one = _found(record)
                found[one.credential.name] = one
            if cursor == b"0":
                return [found[name] for name in sorted(found)]

    async def change(
        self, before: Found | None, after: Credential | None, event: Mapping[str, str]
    ) -> bool:
        """Add, replace or remove a credential; False where somebody else changed it meanwhile."""
        one = after or (before.credential if before is not None else None)
        if one is None:
            raise ValueError("neither a credential before nor after")
        pairs = [part for pair in event.items() for part in pair]
        answer = await self._client.call(
            _CREDENTIAL,
            (keys.credentials(one.kind), keys.AUDIT),
            (
                one.name,
                before.record if before is not None else b"",
                _encode(after) if after is not None else b"",
                _KEPT,
                *pairs,
            ),
        )
        return bool(answer[0] == b"done")

    async def note(self, event: Mapping[str, str]) -> None:
        """Add an event to the audit that changes no credential."""
        pairs = [part for pair in event.items() for part in pair]
        # Said twice it would be there twice.
        await self._client.command("XADD", keys.AUDIT, "MAXLEN", "~", _KEPT, "*", *pairs)

    async def changes(self, count: int) -> list[Change]:
        """The last changes, newest first."""
        entries = await self._client.read("XREVRANGE", keys.AUDIT, "+", "-", "COUNT", count)
        return [
            Change(
                entry_id.decode(),
                {
                    flat[at].decode(): flat[at + 1].decode("utf-8", "replace")
                    for at in range(0, len(flat), 2)
                },
            )
            for entry_id, flat in entries
        ]

    async def logins(
        self,
        who: str,
        verb: Verb,
        *,
        window_ms: int,
        known_ms: int,
        client: str = "",
        token: str = "",
    ) -> Failures:
        """Look at failed logins of `who`, note one more, or that the client got in."""
        names = (keys.failures(who), keys.known(who))
        args = (verb, window_ms, known_ms, client, token)
        count, again, is_known = await self._client.call(_LOGIN, names, args, _PATIENCE)
        return Failures(count, again, bool(is_known))

    async def spend(
        self,
        tenant: str,
        kind: Kind,
        name: str,
        quotas: Quotas,
        *,
        holder: str,
        seq: int,
        recipients: Sequence[int],
    ) -> Spent:
        """Count messages with so many recipients each; 100 of them at most."""
        limits = (
            quotas.messages_minute,
            quotas.messages_day,
            quotas.recipients_minute,
            quotas.recipients_day,
        )
        flags, quota, again = await self._client.call(
            _SPEND,
            (keys.quota(tenant, kind, name), keys.spent(tenant, kind, name, holder)),
            (seq, *limits, *recipients),
            _PATIENCE,
        )
        used_up = "" if quota == b"-" else quota.decode()
        return Spent(tuple(flag == ord("1") for flag in flags), used_up, again)


def _found(record: bytes) -> Found:
    try:
        version = _version(record)[0]
        if version > VERSION:
            raise NewerRecord(
                f"a credential has version {version}, this Relay reads up to {VERSION}"
            )
        return Found(_decode(record), record)
    except (msgspec.MsgspecError, IndexError, TypeError) as error:
        raise DamagedRecord(f"a credential cannot be read: {error}") from None
