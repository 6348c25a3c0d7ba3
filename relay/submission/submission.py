"""A message as it is handed in, and what its submitter hears."""

from __future__ import annotations

from msgspec import Struct

from relay.mail.envelope import Envelope, Priority


class Submission(Struct, frozen=True, kw_only=True):
    """A message and what is asked for it. `id` comes from `Submitter.new_id`."""

    id: str
    envelope: Envelope
    #: Lines that end in CRLF, not dot-stuffed, with the trace header in front.
    content: tuple[bytes, ...]
    #: Octets of the trace header: it differs each time, so no fingerprint is made of it.
    trace: int = 0
    tenant: str = ""
    priority: Priority = Priority.NORMAL
    #: The share of the lane's turn that its messages get, 1 to 100.
    weight: int = 1
    idempotency_key: str = ""
    #: What tells two messages apart under one key; "" for the envelope and content themselves.
    fingerprint: str = ""
    #: Unix times in ms: not attempted before (0: now), and expired after (0: by the settings).
    send_at_ms: int = 0
    expires_at_ms: int = 0
    #: When it is to be delivered, a Unix time in ms (0: at any time), and what is to be done else:
    #: R or N, with T for a trace (RFC 2852).
    by_ms: int = 0
    by_mode: str = ""
    origin: str = "smtp"
    #: The client's address.
    client: str = ""
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    #: The trace that this is part of (relay.tracing), "" where there is none.
    traceparent: str = ""


class Accepted(Struct, frozen=True):
    """The message is durable under `id`; `repeated` where it was before."""

    id: str
    repeated: bool
