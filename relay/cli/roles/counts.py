"""What reception does, as metrics: `relay.metrics` behind the protocol of reception.

What becomes of whole messages is counted where they are submitted, whichever way they came.
"""

from __future__ import annotations

import time

from relay import log, metrics
from relay.ingress.pace import Pace
from relay.mail import answers
from relay.mail.reply import Reply
from relay.policy.credential import counts_as
from relay.submission import CONFLICT, FULL, SHARE, Submission

#: Refusals that the submitter has counted.
_COUNTED = frozenset((FULL, SHARE, CONFLICT, answers.STORE_UNAVAILABLE))

#: Why something was refused, by the reply; any other says that the client has the syntax wrong.
_REASONS: dict[Reply, str] = {
    answers.NO_RELAYING: "relaying",
    answers.TOO_LARGE: "size",
    answers.HEADER_TOO_LARGE: "size",
    answers.BARE_LINE_END: "newline",
    answers.BARE_LF: "newline",
    answers.LOOP: "loop",
    answers.LINE_TOO_LONG: "line",
    answers.TOO_MANY_RECIPIENTS: "limit",
    answers.TOO_MANY_CONNECTIONS: "limit",
    answers.TOO_MANY_FROM_ADDRESS: "limit",
    answers.CONNECTS_TOO_OFTEN: "rate",
    answers.SENDS_TOO_OFTEN: "rate",
    answers.ERRS_TOO_OFTEN: "errors",
    answers.NO_ROOM: "full",
    answers.TOO_MANY_ERRORS: "errors",
    answers.TOO_MANY_COMMANDS: "limit",
    answers.OUT_OF_MEMORY: "limit",
    answers.IDLE: "timeout",
    answers.TOO_SLOW: "timeout",
    answers.SHUTTING_DOWN: "stopping",
    answers.NO_TLS: "tls",
    answers.NEEDS_TLS: "tls",
    answers.LOGIN_NEEDS_TLS: "tls",
    answers.LOG_IN_FIRST: "login",
    answers.TOO_MANY_LOGINS: "login",
    answers.NOT_YOUR_SENDER: "sender",
    answers.NOT_YOUR_FROM: "sender",
    answers.BAD_FROM: "sender",
    answers.NO_LITERALS: "recipient",
}
#: The same for replies whose text says for how long.
_BY_CODE = {450: "quota", 454: "login", 535: "login"}


#: Refusals of one client that are logged in a minute, so that a flood does not fill the log too.
_LOGGED = 6


class ReceptionCounts:
    """Counts and logs; see `relay.ingress.reception.ReceptionMetrics`."""

    def __init__(self) -> None:
        self._logged = Pace(_LOGGED)

    def opened(self) -> None:
        """A session began."""
        metrics.RECEPTIONS.inc()
        metrics.RECEPTIONS_OPEN.inc()

    def closed(self) -> None:
        """A session ended."""
        metrics.RECEPTIONS_OPEN.dec()

    def turned_away(self, reply: Reply, client: str) -> None:
        """A connection was closed at once."""
        metrics.RECEPTIONS_REFUSED.inc()
        self.refused(reply, client)

    def secured(self, version: str) -> None:
        """A handshake ended, well if there is a version; one that failed is a refusal."""
        if version:
            metrics.SESSIONS_SECURED[version].inc()
        else:
            metrics.REFUSED["smtp", "tls"].inc()

    def accepted(self, submission: Submission, size: int, seconds: float) -> None:
        """A message is durable."""
        metrics.ADMIT_SECONDS.observe(seconds)

    def refused(self, reply: Reply, client: str) -> None:
        """Something was refused."""
        if reply in _COUNTED:
            return
        reason = _REASONS.get(reply) or _BY_CODE.get(reply.code, "syntax")
        metrics.REFUSED["smtp", reason].inc()
        who, now = counts_as(client), time.monotonic()
        if not self._logged.over(who, now):
            self._logged.note(who, now)
            log.refused(reply, reason=reason, origin="smtp", client=client)
