"""What an attempt did to a recipient, and what a reply speaks for."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from relay.mail.reply import Reply


class Scope(StrEnum):
    """What a failure speaks for (Postfix's smtp_trouble(3) draws the same line)."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    #: This host, now: another host of the site may do better.
    HOST = "host"
    #: All hosts of the site: nothing there was reached, so no message was tried.
    SITE = "site"


class Delivered(Struct, frozen=True):
    """The next host took responsibility (250 after the final dot)."""

    #: The word for it in records and logs.
    fate: ClassVar[str] = "delivered"
    reply: Reply


class Deferred(Struct, frozen=True):
    """Not now: kept and tried later."""

    fate: ClassVar[str] = "deferred"
    reply: Reply
    scope: Scope


class Bounced(Struct, frozen=True):
    """Never: final, and told to the sender."""

    fate: ClassVar[str] = "bounced"
    reply: Reply
    scope: Scope


Outcome = Delivered | Deferred | Bounced


class Lack(StrEnum):
    """What a host lacks that a session with it needed. It says nothing of the site's health."""

    #: The host offers no TLS, or the handshake failed.
    ENCRYPTION = "encryption"
    #: Its certificate is not the one that was to be.
    CERTIFICATE = "certificate"
    #: It does not announce REQUIRETLS.
    REQUIRETLS = "requiretls"


class Failure(Struct, frozen=True):
    """Why a session could not be had or went on no longer; `phase` says how far it came."""

    reply: Reply
    scope: Scope
    phase: str
    #: None where the host lacks nothing, or it is not sure that it does.
    lack: Lack | None = None
