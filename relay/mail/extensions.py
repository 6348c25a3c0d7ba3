"""The service extensions that reception may announce, besides those that it always has."""

from __future__ import annotations

from enum import StrEnum


class Extension(StrEnum):
    """By its EHLO keyword."""

    #: Delivery status notifications (RFC 3461).
    DSN = "DSN"
    #: Addresses and header fields beyond ASCII (RFC 6531).
    SMTPUTF8 = "SMTPUTF8"
    #: Content in chunks of known size (RFC 3030).
    CHUNKING = "CHUNKING"
    #: Content that is not made of lines (RFC 3030).
    BINARYMIME = "BINARYMIME"
    #: Content that must never be sent in the clear (RFC 8689); inside TLS alone.
    REQUIRETLS = "REQUIRETLS"
    #: A time after which a message is not wanted any more (RFC 2852).
    DELIVERBY = "DELIVERBY"
    #: Messages to be sent later (RFC 4865).
    FUTURERELEASE = "FUTURERELEASE"
    #: Classes of priority (RFC 6710).
    MT_PRIORITY = "MT-PRIORITY"
    #: How many recipients a message may have (RFC 9422).
    LIMITS = "LIMITS"


ALL = frozenset(Extension)
