"""What the log says of mail: a record when a message is accepted or refused, and one per fate.

The field names are fixed and documented, for other programs read them. Never content, never a
secret; texts from outside are escaped and cut.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from msgspec import Struct


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every record has. Fields that are empty are left out."""

    timestamp: datetime
    level: str
    #: accepted, repeated or refused; delivered, deferred, bounced, expired, cancelled or held; dsn;
    #: complained.
    event: str
    #: The message's id.
    id: str = ""


class Reception(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A message that was accepted, or was not."""

    sender: str = ""
    #: How many recipients it has; a refused recipient is in `recipient`.
    recipients: int = 0
    recipient: str = ""
    #: Octets of content.
    size: int = 0
    #: The way in: smtp, http, api, sendmail or dsn.
    origin: str = ""
    #: The client's address.
    client: str = ""
    tenant: str = ""
    #: Why it was refused, in one word (the label of relay_messages_refused_total).
    reason: str = ""
    code: int = 0
    enhanced: str = ""
    text: str = ""


class Fate(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What an attempt, an operator or time did to one recipient."""

    #: The number of the delivery in its message.
    delivery: int = 0
    sender: str = ""
    recipient: str = ""
    domain: str = ""
    site: str = ""
    #: The host that answered, and its address.
    host: str = ""
    address: str = ""
    #: The TLS version, left out in the clear.
    tls: str = ""
    #: By what the host's certificate was verified: settings, mta-sts, dane or message.
    verified: str = ""
    #: The number of the attempt, counted from 1.
    attempt: int = 0
    #: How long the attempt took, and how long ago the message was accepted, in seconds.
    took: float = 0.0
    age: float = 0.0
    #: Seconds until the next attempt.
    wait: float = 0.0
    #: The reply.
    code: int = 0
    enhanced: str = ""
    text: str = ""
    #: Octets of content.
    size: int = 0
    tenant: str = ""
    reason: str = ""


class About(TypedDict, total=False):
    """The fields of `Fate` that a caller may give or leave out."""

    delivery: int
    domain: str
    site: str
    host: str
    address: str
    tls: str
    verified: str
    attempt: int
    took: float
    age: float
    wait: float
    size: int
    tenant: str
    reason: str


class Reported(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A DSN that was submitted: `id` is its own message id, `about` that of the message."""

    about: str = ""
    sender: str = ""
    recipients: int = 0
