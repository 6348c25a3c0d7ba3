"""What operators and the HTTP API see of credentials: never a hash."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from relay.policy.credential import Credential
from relay.store.identity import Change


class CredentialView(Struct, frozen=True):
    """A credential; its secret alone where it was just made."""

    kind: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    senders: tuple[str, ...]
    networks: tuple[str, ...]
    messages_minute: int
    messages_day: int
    recipients_minute: int
    recipients_day: int
    expires_at: datetime | None
    disabled: bool
    #: Passwords or tokens that are taken now: more than one while a rotation overlaps.
    secrets: int
    created_at: datetime
    changed_at: datetime
    note: str
    #: The password or token where it was just made, else null: it is shown once.
    secret: str | None = None


class ChangeView(Struct, frozen=True):
    """A change of a credential; `changes` is JSON: each field that differs, before and after."""

    id: str
    at: datetime
    by: str
    action: str
    kind: str
    name: str
    tenant: str
    changes: str


def credential_view(credential: Credential, now_ms: float, secret: str = "") -> CredentialView:
    """The credential as it is shown at this time."""
    quotas = credential.quotas
    return CredentialView(
        kind=credential.kind,
        name=credential.name,
        tenant=credential.tenant,
        scopes=credential.scopes,
        senders=credential.senders,
        networks=credential.networks,
        messages_minute=quotas.messages_minute,
        messages_day=quotas.messages_day,
        recipients_minute=quotas.recipients_minute,
        recipients_day=quotas.recipients_day,
        expires_at=_moment(credential.expires_ms) if credential.expires_ms else None,
        disabled=credential.disabled,
        secrets=sum(not one.until_ms or one.until_ms > now_ms for one in credential.secrets),
        created_at=_moment(credential.created_ms),
        changed_at=_moment(credential.changed_ms),
        note=credential.note,
        secret=secret or None,
    )


def change_view(change: Change) -> ChangeView:
    """The change as it is shown."""
    field = change.fields.get
    return ChangeView(
        id=change.id,
        at=_moment(int(change.id.partition("-")[0])),
        by=field("by", ""),
        action=field("action", ""),
        kind=field("kind", ""),
        name=field("name", ""),
        tenant=field("tenant", ""),
        changes=field("changes", ""),
    )


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
