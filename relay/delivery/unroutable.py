"""Why a domain has no route, as the reply that its recipients get.

Permanent is only what the domain itself says, by the DNS: that it does not exist, takes no mail, or
has no host. Everything else, our own settings included, may be mended while a delivery waits.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from relay.lookup.answers import LookupFailed, NoAddress, NoSuchDomain, NullMx
from relay.mail.outcome import Failure, Lack
from relay.mail.reply import Reply
from relay.policy.needs import Need

#: The setting that allows targets inside our own network, for the reply that refuses one.
ALLOWING = "delivery.private_targets"


class RouteFailure(Struct, frozen=True):
    """Why there is no route; `permanent` where another attempt could not help."""

    reply: Reply
    permanent: bool


def unroutable(
    domain: str, answer: NullMx | NoSuchDomain | NoAddress | LookupFailed, *, all_families: bool
) -> RouteFailure:
    """What the DNS said instead of hosts.

    A domain without an address is beyond reach for good only where both families were asked for.
    """
    match answer:
        case NullMx():
            return _never(556, "5.1.10", f"{domain} takes no mail (null MX)")
        case NoSuchDomain():
            return _never(550, "5.1.2", f"{domain} does not exist")
        case NoAddress() if all_families:
            return _never(550, "5.4.4", f"{domain} has neither MX nor address records")
        case NoAddress():
            return _later("4.4.4", f"{domain} has no address of a family that is used here")
        case LookupFailed(reason=reason):
            return _later("4.4.3", f"{domain} could not be looked up: {reason}")


def unreachable(
    domain: str,
    *,
    refused: Sequence[str] = (),
    failures: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> RouteFailure:
    """There are hosts, and none has an address to connect to."""
    if refused:
        text = f"{domain} leads to {', '.join(refused)}; {ALLOWING} would allow it"
        return _later("4.4.4", text)
    if failures:
        return _later("4.4.3", f"no host of {domain} could be looked up: {failures[0]}")
    return _later("4.4.4", f"no host of {domain} has an address: {', '.join(missing)}")


def looping(domain: str) -> RouteFailure:
    """By its MX records, the best host of the domain is this one."""
    return _later("4.4.6", f"the MX records of {domain} lead back to this host")


def unsafe(domain: str, unfit: Sequence[str]) -> RouteFailure:
    """There are hosts, and to none may mail for the domain be given."""
    return _later("4.7.5", f"no host of {domain} may be used: {'; '.join(unfit[:2])}")


def unauthentic(domain: str) -> RouteFailure:
    """Mail must go to hosts that are surely the domain's, and nothing says which these are."""
    text = f"REQUIRETLS is needed, and neither DNSSEC nor MTA-STS says which are {domain}'s hosts"
    return _never(550, "5.7.30", text)


def insufficient(failure: Failure, need: Need) -> RouteFailure:
    """No host is what the mail needs. Permanent for REQUIRETLS alone, where every host that was
    tried surely lacks it (RFC 8689 section 4.2.1)."""
    if need is not Need.REQUIRED or failure.lack is None:
        return RouteFailure(failure.reply, permanent=False)
    enhanced = "5.7.30" if failure.lack is Lack.REQUIRETLS else "5.7.10"
    return _never(550, enhanced, failure.reply.text)


def of_all(failures: Sequence[Failure]) -> Failure:
    """What the failures of all hosts come to. One of TLS is this mail's own, whatever the other
    hosts do; it is sure that the hosts lack something only where each of them does."""
    of_tls = [failure for failure in failures if failure.phase == "starttls"]
    if not of_tls:
        return failures[-1]
    unsure = any(failure.lack is None for failure in failures)
    return structs.replace(of_tls[0], lack=None) if unsure else of_tls[0]


def unsure(domain: str, why: str) -> RouteFailure:
    """The same, but it may have them."""
    text = f"REQUIRETLS is needed, and the MTA-STS policy of {domain} could not be had: {why}"
    return _later("4.7.30", text)


def unknown(queue: str) -> RouteFailure:
    """A newer Relay made the queue, for mail with a need that this one does not know."""
    return _later("4.3.5", f"the queue {queue} is left to a newer process")


def bad_literal(domain: str) -> RouteFailure:
    """The domain is an address literal that is malformed, or not delivered to."""
    return _never(550, "5.1.2", f"mail to the address literal {domain} is not delivered")


def _never(code: int, enhanced: str, text: str) -> RouteFailure:
    return RouteFailure(Reply(code, enhanced, text), permanent=True)


def _later(enhanced: str, text: str) -> RouteFailure:
    return RouteFailure(Reply(451, enhanced, text), permanent=False)
