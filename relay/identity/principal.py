"""Principals: who a client turned out to be; refusals: why it is nobody, or may not do a thing."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from relay.mail.reply import Reply
from relay.policy.credential import UNLIMITED, Credential, Kind, Quotas, Scope, may_send_as

#: Why, in one word: credentials (wrong, or there is no such account), locked (too many failures),
#: disabled, expired, network, scope, sender, quota; busy and store: temporary.
Why = Literal[
    "credentials",
    "locked",
    "disabled",
    "expired",
    "network",
    "scope",
    "sender",
    "quota",
    "busy",
    "store",
]


class Principal(Struct, frozen=True):
    """Who a client is, and what it may do."""

    name: str
    kind: Kind | Literal["network"]
    tenant: str = ""
    scopes: tuple[Scope, ...] = ()
    #: See `relay.policy.credential.Credential.senders`.
    senders: tuple[str, ...] = ()
    quotas: Quotas = UNLIMITED

    def may(self, scope: Scope) -> bool:
        """Whether it has the scope. Admin does not include the others."""
        return scope in self.scopes

    @property
    def anybody(self) -> bool:
        """It may send as anybody."""
        return "*" in self.senders

    def may_send_as(self, address: str) -> bool:
        """Whether an address, in canonical form, may be MAIL FROM or From. The null sender may."""
        return may_send_as(self.senders, address)

    def __str__(self) -> str:
        """For logs and the audit."""
        return f"{self.kind}:{self.name}"


#: Clients that may submit by their network alone, and as anybody.
NETWORK = Principal("", "network", scopes=("send",), senders=("*",))


class Refusal(Struct, frozen=True):
    """Nothing was granted. `reply` says so over SMTP (RFC 4954 section 6) and may be shown."""

    why: Why
    reply: Reply
    #: When to try again, in seconds from now; 0: that would not help, or nobody knows.
    again_s: float = 0.0
    #: The quota that is used up: messages_minute, messages_day, recipients_minute, recipients_day.
    quota: str = ""


def principal_of(credential: Credential) -> Principal:
    """Who has this credential."""
    return Principal(
        credential.name,
        credential.kind,
        credential.tenant,
        credential.scopes,
        credential.senders,
        credential.quotas,
    )


#: Said of all that must not be told apart: no such account, another password, a wrong network.
WRONG = Refusal("credentials", Reply(535, "5.7.8", "Authentication credentials invalid"))
WRONG_NETWORK = Refusal("network", WRONG.reply)
DISABLED = Refusal("disabled", Reply(535, "5.7.13", "This credential is disabled"))
EXPIRED = Refusal("expired", Reply(535, "5.7.13", "This credential has expired"))
BUSY = Refusal("busy", Reply(454, "4.7.0", "Too many logins at once, try again later"), 5.0)
STORE = Refusal("store", Reply(454, "4.7.0", "Cannot check this now, try again later"), 5.0)


def locked(again_s: float) -> Refusal:
    """Too many failed logins of this client or for this account."""
    text = f"Too many failed logins, try again in {max(1, round(again_s))} s"
    return Refusal("locked", Reply(454, "4.7.0", text), again_s)


def missing(scope: Scope) -> Refusal:
    """The credential is good, and not for this."""
    return Refusal("scope", Reply(535, "5.7.13", f"This credential lacks the scope {scope}"))


def used_up(quota: str, again_s: float) -> Refusal:
    """A quota is used up."""
    what, _, period = quota.partition("_")
    text = f"Your quota of {what} a {period} is used up, try again in {max(1, round(again_s))} s"
    return Refusal("quota", Reply(450, "4.7.1", text), again_s, quota)
