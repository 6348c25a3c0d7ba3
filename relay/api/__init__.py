"""The library's face: hand messages to Relay from Python, and learn what became of them.

    from relay import Message, Relay

    with Relay("redis://127.0.0.1:6379/0", broker="redis://127.0.0.1:6380/0") as relay:
        accepted = relay.submit(
            from_="ann@example.com", to="bob@example.net", subject="Hello", text="Hello Bob."
        )
        print(relay.wait(accepted.id).recipients)

`AsyncRelay` has the same methods for asyncio. Both speak to the store itself, which is fastest and
asks nobody (docs/python.md says what that bypasses), or over HTTP where the URL says so.
"""

from relay.api.blocking import Relay
from relay.api.client import AsyncRelay
from relay.api.contract import Cancelled, Event, Rescheduled, Status
from relay.errors import (
    AccessDenied,
    IdempotencyConflict,
    InvalidMessage,
    NoSuchMessage,
    RelayError,
    SomeRefused,
    StoreFull,
    StoreUnavailable,
    SubmissionRefused,
    TooMuch,
)
from relay.mail.envelope import Priority
from relay.mail.message import Attachment, Message
from relay.submission import Accepted

__all__ = [
    "Accepted",
    "AccessDenied",
    "AsyncRelay",
    "Attachment",
    "Cancelled",
    "Event",
    "IdempotencyConflict",
    "InvalidMessage",
    "Message",
    "NoSuchMessage",
    "Priority",
    "Relay",
    "RelayError",
    "Rescheduled",
    "SomeRefused",
    "Status",
    "StoreFull",
    "StoreUnavailable",
    "SubmissionRefused",
    "TooMuch",
]
