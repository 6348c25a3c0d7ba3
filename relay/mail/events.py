"""What a receiver asks of its caller: each stands until the caller has answered it."""

from __future__ import annotations

from msgspec import Struct

from relay.mail.login import Login
from relay.mail.transaction import MessageReceived


class StartTls(Struct, frozen=True):
    """The output is to be written, the handshake done, and then `secured` called."""


class Authenticate(Struct, frozen=True):
    """Whoever logs in is to be looked up, then `logged_in` or `not_logged_in` called."""

    login: Login


class Introduced(Struct, frozen=True):
    """The client speaks for another one: `introduced` is to be called with its rights."""

    #: Its IP address, "" where it has none that counts; None: the same as before.
    address: str | None


class Close(Struct, frozen=True):
    """The output is to be written and the connection closed."""


#: What only the caller can do.
Event = MessageReceived | StartTls | Authenticate | Introduced | Close
