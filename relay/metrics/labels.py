"""The values that labels may have; whatever else comes up counts as other."""

from __future__ import annotations

from relay.policy.category import CATEGORIES as CATEGORIES

#: `api`: the Python client on the store, and the Celery task relay.submit.
WAYS = ("smtp", "http", "api", "dsn")
REFUSALS = (
    "relaying",
    "recipient",
    "syntax",
    "size",
    "line",
    "loop",
    "newline",
    "limit",
    "rate",
    "errors",
    "tls",
    "full",
    "share",
    "store",
    "conflict",
    "access",
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
#: Those that an attempt can have.
ATTEMPT_OUTCOMES = OUTCOME_WORDS[:3]
#: Routes of the HTTP API, by what each is for.
HTTP_ROUTES = (
    "submit",
    "batch",
    "list",
    "status",
    "cancel",
    "reschedule",
    "send-now",
    "events",
    "complaints",
    "credentials",
    "suppressions",
    "document",
    "none",
)
HTTP_STATUSES = (
    *("200", "201", "202", "204", "400", "401", "403", "404", "405", "408", "409", "413", "415"),
    *("422", "429", "431", "500", "501", "503"),
)
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
STS_RESULTS = ("fetched", "failed")
TLS_VERSIONS = ("TLSv1.2", "TLSv1.3", "none")
#: Security levels that a session reached (relay.smtp.tls).
TLS_LEVELS = ("none", "encrypted", "authenticated")
TASKS = ("relay.drain", "relay.submit")
#: What became of a task.
TASK_ENDS = ("success", "failure", "rejected", "revoked")
#: Scripts by their names; any command that is none is `command`.
STORE_CALLS = (
    "admit",
    "promote",
    "ring",
    "lease",
    "extend",
    "settle",
    "release",
    "retake",
    "reclaim",
    "park",
    "enter",
    "leave",
    "close",
    "spend",
    "report",
    "command",
)
STORE_FAILURES = ("timeout", "connection", "full", "moved", "reply")
UNREADABLE = ("newer", "damaged")
HELD_BY = ("poison", "content")
STATES = ("later", "ready", "leased", "held")
CONSUMERS = ("dsn",)
#: States of a path's breaker (relay.store.paths).
BREAKERS = ("open", "dead", "probe")


_CLASSES = {2: "2yz", 4: "4yz", 5: "5yz"}


def reply_class(code: int) -> str:
    """The label value for a reply code: 2yz, 4yz or 5yz; none where no host answered."""
    return _CLASSES.get(code // 100, "none")
