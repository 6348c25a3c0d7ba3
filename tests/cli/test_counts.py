"""Each reply of reception that refuses something counts with a reason of its own, once."""

from __future__ import annotations

import pytest

from relay.cli.roles.counts import ReceptionCounts
from relay.mail import answers
from relay.mail.reply import Reply
from relay.metrics.labels import REFUSALS
from relay.submission import CONFLICT, FULL, SHARE
from tests.support.counted import Counted

CLIENT = "192.0.2.1"
REPLIES = {
    name: reply
    for name, reply in vars(answers).items()
    if isinstance(reply, Reply) and reply.code >= 400
}
#: What is not said here is `syntax`: the client said something wrongly.
REASONS = {
    "SHUTTING_DOWN": "stopping",
    "TOO_MANY_CONNECTIONS": "limit",
    "TOO_MANY_FROM_ADDRESS": "limit",
    "TOO_MANY_ERRORS": "errors",
    "ERRS_TOO_OFTEN": "errors",
    "CONNECTS_TOO_OFTEN": "rate",
    "SENDS_TOO_OFTEN": "rate",
    "NO_ROOM": "full",
    "TOO_MANY_COMMANDS": "limit",
    "TOO_MANY_RECIPIENTS": "limit",
    "OUT_OF_MEMORY": "limit",
    "IDLE": "timeout",
    "TOO_SLOW": "timeout",
    "LINE_TOO_LONG": "line",
    "NO_TLS": "tls",
    "TOO_LARGE": "size",
    "NO_LITERALS": "recipient",
    "BARE_LINE_END": "newline",
    "BARE_LF": "newline",
    "LOOP": "loop",
    "NO_RELAYING": "relaying",
    "HEADER_TOO_LARGE": "size",
    "NEEDS_TLS": "tls",
    "LOGIN_NEEDS_TLS": "tls",
    "LOG_IN_FIRST": "login",
    "LOGIN_REFUSED": "login",
    "LOGIN_UNAVAILABLE": "login",
    "TOO_MANY_LOGINS": "login",
    "NOT_YOUR_SENDER": "sender",
    "NOT_YOUR_FROM": "sender",
    "BAD_FROM": "sender",
}


def counted() -> dict[str, Counted]:
    return {
        reason: Counted("relay_messages_refused_total", way="smtp", reason=reason)
        for reason in (*REFUSALS, "other")
    }


def moved(counts: dict[str, Counted]) -> dict[str, float]:
    return {reason: count.more for reason, count in counts.items() if count.more}


@pytest.mark.parametrize("name", sorted(REPLIES.keys() - {"STORE_UNAVAILABLE"}))
def test_a_refusal_counts_with_its_reason(name: str) -> None:
    counts = counted()
    ReceptionCounts().refused(REPLIES[name], CLIENT)
    assert moved(counts) == {REASONS.get(name, "syntax"): 1}


@pytest.mark.parametrize("reply", [FULL, SHARE, CONFLICT, answers.STORE_UNAVAILABLE], ids=str)
def test_what_the_submitter_refuses_is_counted_by_the_submitter(reply: Reply) -> None:
    counts = counted()
    ReceptionCounts().refused(reply, CLIENT)
    assert moved(counts) == {}


def test_a_client_that_is_turned_away_is_refused_and_never_was_there() -> None:
    refused = Counted("relay_reception_connections_refused_total")
    greeted = Counted("relay_reception_connections_total")
    counts = counted()
    ReceptionCounts().turned_away(answers.TOO_MANY_CONNECTIONS, CLIENT)
    assert (refused.more, greeted.more) == (1, 0)
    assert moved(counts) == {"limit": 1}
