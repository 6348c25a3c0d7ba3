"""The values that labels may have; whatever else comes up counts as other."""

from __future__ import annotations

WAYS = ("smtp", "http", "api", "sendmail", "dsn")
REFUSALS = (
    "relaying",
    "sender",
    "recipient",
    "syntax",
    "size",
    "line",
    "loop",
    "newline",
    "limit",
    "auth",
    "tls",
    "full",
    "store",
    "conflict",
    "timeout",
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
DNS_TYPES = ("MX", "A", "AAAA", "TXT", "TLSA")
DNS_RESULTS = ("answer", "none", "nxdomain", "servfail", "timeout")
STORE_CALLS = (
    "admit",
    "promote",
    "ring",
    "lease",
    "extend",
    "settle",
    "release",
    "reclaim",
    "enter",
    "leave",
    "read",
)
STORE_FAILURES = ("timeout", "connection", "full", "moved", "reply")
HELD_BY = ("poison", "content", "operator")
STATES = ("later", "ready", "leased", "held")
CONSUMERS = ("dsn", "webhook", "suppression")


def reply_class(code: int) -> str:
    """The label value for a reply code: 2yz, 4yz or 5yz; none where no host answered."""
    return {2: "2yz", 4: "4yz", 5: "5yz"}.get(code // 100, "none")
