"""The values that labels may have; whatever else comes up counts as other."""

from __future__ import annotations

#: `api`: the Celery task relay.submit.
WAYS = ("smtp", "api", "dsn")
REFUSALS = (
    "relaying",
    "recipient",
    "syntax",
    "size",
    "line",
    "loop",
    "newline",
    "limit",
    "tls",
    "full",
    "store",
    "conflict",
    "timeout",
    "stopping",
    "login",
    "sender",
    "quota",
)
#: Why a login was refused: `why` of relay.identity.Refusal.
LOGIN_KINDS = ("user", "token")
LOGIN_RESULTS = (
    "passed",
    "credentials",
    "locked",
    "disabled",
    "expired",
    "network",
    "busy",
    "store",
)
OUTCOME_WORDS = ("delivered", "deferred", "bounced", "expired", "cancelled")
REPLY_CLASSES = ("2yz", "4yz", "5yz", "none")
#: How far a session had come: `phase` of relay.mail.outcome.Failure.
PHASES = (
    "local",
    "connect",
    "greeting",
    "ehlo",
    "starttls",
    "idle",
    "reset",
    "mail",
    "rcpt",
    "data",
    "content",
    "dot",
)
PATH_REFUSALS = ("window", "rate", "breaker", "store")
DNS_TYPES = ("MX", "A", "AAAA")
DNS_RESULTS = ("answer", "none", "nxdomain", "servfail", "timeout")
#: Scripts by their names; any command that is none is `command`.
STORE_CALLS = (
    "admit",
    "promote",
    "ring",
    "lease",
    "extend",
    "settle",
    "release",
    "reclaim",
    "park",
    "enter",
    "leave",
    "close",
    "spend",
    "command",
)
STORE_FAILURES = ("timeout", "connection", "full", "moved", "reply")
HELD_BY = ("poison", "content")
STATES = ("later", "ready", "leased", "held")
CONSUMERS = ("dsn",)


def reply_class(code: int) -> str:
    """The label value for a reply code: 2yz, 4yz or 5yz; none where no host answered."""
    return {2: "2yz", 4: "4yz", 5: "5yz"}.get(code // 100, "none")
