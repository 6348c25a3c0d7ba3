"""The answer to EHLO: what is announced, and nothing that does not work here and now."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from relay.mail.extensions import Extension
from relay.mail.login import MECHANISMS
from relay.mail.transaction import ReceiverOptions

_HOUR = 3600
#: Extensions whose keyword is all that is announced.
_PLAIN = (
    Extension.DSN,
    Extension.SMTPUTF8,
    Extension.CHUNKING,
    Extension.BINARYMIME,
    Extension.MT_PRIORITY,
)


def capabilities(
    options: ReceiverOptions,
    *,
    starttls: bool,
    auth: bool,
    secure: bool,
    xclient: bool,
    now: float,
) -> bytes:
    """All lines of the reply; `now` is a Unix time."""
    hours = int(now) // _HOUR if Extension.FUTURERELEASE in options.extensions else 0
    return _capabilities(options, starttls, auth, secure, xclient, hours)


@lru_cache(maxsize=64)
def _capabilities(
    options: ReceiverOptions, starttls: bool, auth: bool, secure: bool, xclient: bool, hours: int
) -> bytes:
    has = options.extensions
    lines = [options.hostname, "PIPELINING", f"SIZE {options.message_size}"]
    lines += ["STARTTLS"] * starttls
    lines += [f"AUTH {' '.join(MECHANISMS)}"] * auth
    lines += ["8BITMIME", "ENHANCEDSTATUSCODES"]
    lines += [extension for extension in _PLAIN if extension in has]
    if Extension.REQUIRETLS in has and secure:
        lines.append("REQUIRETLS")
    if Extension.DELIVERBY in has:
        lines.append(f"DELIVERBY {options.least_time}")
    if Extension.FUTURERELEASE in has:
        # In whole hours, so that the line is the same for an hour: nobody is promised more.
        latest = datetime.fromtimestamp(hours * _HOUR + options.longest_hold, UTC)
        until = f"{latest:%Y-%m-%dT%H:%M:%SZ}"
        lines.append(f"FUTURERELEASE {options.longest_hold} {until}")
    if Extension.LIMITS in has:
        lines.append(f"LIMITS RCPTMAX={options.recipients}")
    lines += ["XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"] * xclient
    lines.append("HELP")
    last = len(lines) - 1
    return "".join(f"250{' -'[at < last]}{line}\r\n" for at, line in enumerate(lines)).encode()
