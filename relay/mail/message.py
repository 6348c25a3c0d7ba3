"""A message as services hand it over: fields, or content that is whole already.

The same names in Python and in JSON, but for `from_`, which JSON writes `from`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from relay.mail.envelope import Priority

#: A point in time that says its zone.
Moment = Annotated[datetime, Meta(tz=True)]
#: One address or several, each `bob@example.net` or `Bob <bob@example.net>`.
Addresses = str | Sequence[str]


class Attachment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file that goes with a message; one with a `content_id` is shown within its HTML."""

    #: Base64 in JSON.
    content: bytes
    filename: str = ""
    content_type: str = "application/octet-stream"
    #: What `<img src="cid:...">` names it by, without brackets.
    content_id: str = ""


class Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True,
              rename={"from_": "from"}):  # fmt: skip
    """What is to be sent, to whom, and how.

    Content is made of `subject`, `text`, `html` and `attachments`, or is `raw`: RFC 5322, kept as
    it is but for its Bcc fields (left out), a Date or Message-ID that it lacks (put in front), and
    line ends (CRLF).
    """

    from_: str = ""
    to: Addresses = ()
    cc: Addresses = ()
    #: Get the message and stand nowhere in it.
    bcc: Addresses = ()
    reply_to: Addresses = ()
    subject: str = ""
    text: str = ""
    html: str = ""
    attachments: Sequence[Attachment] = ()
    #: Further header fields.
    headers: dict[str, str] = {}
    #: Base64 in JSON. Without `to`, `cc` or `bcc` its own header fields name the recipients.
    raw: bytes = b""
    #: The envelope's sender, which bounces go to; None: the address in `from`; "": nobody.
    envelope_sender: str | None = None
    tenant: str = ""
    priority: Priority = Priority.NORMAL
    #: The share of a turn that the message's lane gets for it, 1 to 100.
    weight: int = 1
    tags: Sequence[str] = ()
    metadata: dict[str, str] = {}
    #: Not attempted before, and given up after.
    send_at: Moment | None = None
    expires_at: Moment | None = None
    #: What the sender is told of: success, failure, delay; or never. Empty: failure.
    notify: Sequence[str] = ()
    #: What a DSN returns: full or headers; "": by its size.
    ret: str = ""
    #: Comes back in DSNs.
    envid: str = ""
    #: To be sent over verified TLS alone, to hosts that promise the same (REQUIRETLS); else it is
    #: returned. `TLS-Required: No` in `headers` asks for the contrary (RFC 8689).
    require_tls: bool = False
    #: Values for `{{ name }}` in subject, text, HTML and headers, which are templates then.
    substitutions: (
        dict[str, str | int | float | bool | list[str] | dict[str, str] | None] | None
    ) = None
    #: The same key and message again: the id of the first, and nothing is sent twice.
    idempotency_key: str = ""
    #: The trace that the message is part of (W3C Trace Context); taken of clients that are known.
    traceparent: str = ""
