"""What a message asks of TLS on its way, and the name of the queue that it waits in for that.

Messages of one domain that need different TLS wait in queues of their own, so that a host which is
not good enough for some of them holds up none of the others (RFC 8689).
"""

from __future__ import annotations

from enum import StrEnum

from relay.mail.envelope import Envelope

#: No domain and no address literal has it.
_MARK = "!"


class Need(StrEnum):
    """By what stands behind the domain in a queue's name."""

    #: As the domain's policy says.
    USUAL = ""
    #: REQUIRETLS: hosts that are surely the domain's, verified, and that promise the same.
    REQUIRED = "requiretls"
    #: A DSN about such a message (RFC 8689 section 5): never in the clear, but to any such host.
    RETURNED = "encrypted"
    #: `TLS-Required: No`: no failure of TLS keeps it from being sent.
    OPTIONAL = "tls-optional"


# Looked up once: most messages need nothing else, and each is asked about it.
_USUAL = Need.USUAL


def need_of(envelope: Envelope) -> Need:
    """What the message needs. Those from the null sender may go to hosts without REQUIRETLS."""
    if envelope.require_tls:
        return Need.REQUIRED if envelope.sender else Need.RETURNED
    return Need.OPTIONAL if envelope.tls_optional else _USUAL


def queue_of(domain: str, need: Need) -> str:
    """The queue in which deliveries with that need wait for the domain."""
    return domain if need is _USUAL else f"{domain}{_MARK}{need.value}"


def queues_of(domain: str) -> tuple[str, ...]:
    """All queues of a domain, the usual one first; of a queue's own name that one alone."""
    return (domain,) if _MARK in domain else tuple(queue_of(domain, need) for need in Need)


def parted(queue: str) -> tuple[str, Need]:
    """Domain and need of a queue. Raises ValueError for a need that nobody knows."""
    domain, _, need = queue.partition(_MARK)
    return domain, Need(need)


def domain_of(queue: str) -> str:
    """The domain that a queue leads to."""
    return queue.partition(_MARK)[0]
