"""Which fates of a recipient the sender is told about (RFC 3461 section 4.1)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from relay.mail.envelope import Recipient

#: What stands for a missing NOTIFY: the sender learns of failures, and is spared the rest.
DEFAULT = ("FAILURE",)

#: The NOTIFY keyword that asks for a report of a fate. A cancelled recipient was taken back by the
#: sender, or by an operator, so nobody is told.
_ASKED_BY = {
    "bounced": "FAILURE",
    "expired": "FAILURE",
    "suppressed": "FAILURE",
    "delivered": "SUCCESS",
    "deferred": "DELAY",
}


def wanted(
    sender: str, notify: str, fate: str, *, passed_on: bool = False, relayed: bool = False
) -> bool:
    """Whether the sender wants a DSN about a recipient with this NOTIFY that met this fate.

    Never about a message from the null sender, for that may itself be a DSN and two servers could
    go on for ever (RFC 5321 section 6.1). Nor of a success where it was `passed_on` to a host that
    knows DSN: that one reports (RFC 3461 section 5.2.1). But of one that was `relayed` to a host
    that cannot keep its time, or whose relays are to be traced, in any case (RFC 2852 section 4).
    """
    if (relayed and fate == "delivered") or fate == "late":
        return bool(sender) and "NEVER" not in _keywords(notify)
    if passed_on and fate == "delivered":
        return False
    keyword = _ASKED_BY.get(fate)
    return bool(sender) and keyword is not None and keyword in _keywords(notify)


def _keywords(notify: str) -> Container[str]:
    return notify.upper().replace(" ", "").split(",") if notify else DEFAULT


def notify_of(recipients: Sequence[Recipient]) -> tuple[tuple[str, str], ...]:
    """NOTIFY and ORCPT of each recipient; none at all where nothing was asked of any."""
    for recipient in recipients:
        if recipient.notify or recipient.orcpt:
            return tuple((each.notify, each.orcpt) for each in recipients)
    return ()


def asks_for_failures(sender: str, recipients: Iterable[Recipient]) -> bool:
    """Whether the sender is to hear of a failure of any of them."""
    return bool(sender) and any(map(_asks_for_failures, recipients))


def _asks_for_failures(recipient: Recipient) -> bool:
    return _ASKED_BY["bounced"] in _keywords(recipient.notify)


def hears_of_lateness(sender: str, recipients: Iterable[Recipient]) -> bool:
    """Whether the sender is to hear that any of them is late."""
    return any(wanted(sender, recipient.notify, "late") for recipient in recipients)
