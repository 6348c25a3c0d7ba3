"""A delivery: one message to up to 100 recipients in one domain; the unit of queueing."""

from __future__ import annotations

from msgspec import Struct

from relay.mail.envelope import Recipient

#: Recipients of one delivery at most; more recipients make more deliveries.
MOST_RECIPIENTS = 100


class Delivery(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What a worker needs for an attempt, as it is stored. Times are Unix times in milliseconds."""

    version: int
    accepted_ms: int
    #: The message's own time of expiry, 0 where the settings' longest age decides.
    expires_ms: int
    #: Octets of content, the Received header included.
    size: int
    sender: str
    #: Those still without a final outcome.
    recipients: tuple[Recipient, ...]
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    #: How many chunks the content lies in; 0: in one piece.
    chunks: int = 0
    #: MT-PRIORITY of RFC 6710.
    mt_priority: int = 0
    #: Content that is not made of lines (BINARYMIME).
    binary: bool = False
    #: The context of the message's trace, "" where it has none (relay.tracing).
    trace: str = ""
    #: REQUIRETLS of RFC 8689, told to hosts that know it.
    require_tls: bool = False
    #: BY of RFC 2852: the Unix time in ms by which it is to be delivered, 0 where there is none;
    #: and R (else it is returned) or N (else its sender is told), with T where relays are told.
    by_ms: int = 0
    by_mode: str = ""


class Result(Struct, frozen=True, array_like=True):
    """What an attempt did to one recipient.

    `fate` is delivered, deferred, bounced, expired or cancelled.
    """

    recipient: str
    fate: str
    code: int
    enhanced: str
    text: str


class Attempt(Struct, frozen=True, array_like=True, omit_defaults=True):
    """One attempt as the message's record keeps it."""

    version: int
    number: int
    #: When it ended, by the worker's clock, in milliseconds.
    at_ms: int
    took_ms: int
    host: str
    address: str
    #: The TLS version reached, "" in the clear.
    tls: str
    results: tuple[Result, ...]
    #: The host knows DSN, so that it reports what was asked for of what it took (RFC 3461 5.2.1).
    dsn: bool = False
    #: By what the host's certificate was verified: settings, mta-sts, dane or message (REQUIRETLS);
    #: "" where it was not.
    verified: str = ""
    #: The sender is to be told that it was relayed, as it asked when it is to be delivered (RFC
    #: 2852) and the host does not know that or it asked for a trace.
    relayed: bool = False


class Record(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What the message's record says of the message itself, written once at acceptance."""

    version: int
    accepted_ms: int
    sender: str
    size: int
    deliveries: int
    tenant: str = ""
    priority: str = "normal"
    #: The way in: smtp, http, api, sendmail or dsn.
    origin: str = "smtp"
    #: The client's address, "" where there is none.
    client: str = ""
    expires_ms: int = 0
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    tags: tuple[str, ...] = ()
    #: Traces carried along (W3C trace context), "" where there is none.
    trace: str = ""
    #: What the submitter noted about it, given back in views and events.
    metadata: dict[str, str] = {}
    #: REQUIRETLS was given (RFC 8689): so it is for what is said about the message.
    require_tls: bool = False
    #: Of RFC 2852, as in `Delivery`.
    by_ms: int = 0
    by_mode: str = ""
