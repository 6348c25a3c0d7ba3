"""The one place that tells temporary from permanent: a reply and what it speaks for, to an outcome.

Unsure means temporary: a mistaken deferral costs one more attempt, a mistaken bounce loses mail.
The reply code decides; an enhanced status code of another class was never split off the text
(`relay.mail.reply`), so it changes nothing.
"""

from __future__ import annotations

from relay.mail.outcome import Bounced, Deferred, Delivered, Outcome, Scope
from relay.mail.reply import Reply

#: Replies that tell of this message or recipient. What is said of a host or a site (a greeting, a
#: lost connection, a failed lookup) is never final: no message was tried.
_ABOUT_MAIL = (Scope.RECIPIENT, Scope.MESSAGE)

#: By reply code and scope: 5yz replies that are temporary all the same.
_TEMPORARY: dict[int, tuple[Scope, ...]] = {
    # At RCPT it may mean "too many recipients" (RFC 5321 section 4.5.3.1.10); at MAIL, DATA and
    # the final dot it means "too big", which stays so.
    552: (Scope.RECIPIENT,),
    # Bad sequence of commands: somebody miscounted, the message is not to blame.
    503: (Scope.RECIPIENT, Scope.MESSAGE),
}

#: Service not available: speaks for the host, wherever it comes (RFC 5321 section 3.8).
_UNAVAILABLE = 421


def classify(reply: Reply, scope: Scope) -> Outcome:
    """What the reply does to the recipients it speaks for.

    | reply           | recipient, message | host, site |
    |-----------------|--------------------|------------|
    | 2yz             | delivered          | deferred   |
    | 4yz             | deferred           | deferred   |
    | 5yz             | bounced            | deferred   |
    | anything else   | deferred           | deferred   |

    with the exceptions of `_TEMPORARY`; a 421 is always of the host.
    """
    if scope not in _ABOUT_MAIL:
        return Deferred(reply, scope)
    if reply.positive:
        return Delivered(reply)
    if reply.code == _UNAVAILABLE:
        return Deferred(reply, Scope.HOST)
    if reply.permanent and scope not in _TEMPORARY.get(reply.code, ()):
        return Bounced(reply, scope)
    return Deferred(reply, scope)
