"""What a host announced in its answer to EHLO, as far as it concerns us."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

#: Digits of a number that are believed; RFC 1870 section 3 allows 20.
_NUMBER = re.compile(r"[0-9]{1,20}")
_SECONDS = re.compile(r"[0-9]{1,9}")
_MAILMAX = re.compile(r"(?:^|\s)MAILMAX=([0-9]{1,6})(?:\s|$)", re.IGNORECASE)
_RCPTMAX = re.compile(r"(?:^|\s)RCPTMAX=([0-9]{1,6})(?:\s|$)", re.IGNORECASE)


class Features(Struct, frozen=True):
    """The service extensions of a host; the default is that of one that knows HELO alone."""

    #: It answered EHLO rather than HELO.
    esmtp: bool = False
    #: RFC 2920.
    pipelining: bool = False
    #: RFC 1870.
    size: bool = False
    #: The largest message in octets; 0: none was named.
    size_limit: int = 0
    #: RFC 6152.
    eight_bit_mime: bool = False
    #: RFC 6531.
    smtputf8: bool = False
    #: RFC 3461.
    dsn: bool = False
    #: RFC 6710.
    mt_priority: bool = False
    #: RFC 3030.
    chunking: bool = False
    #: RFC 3030 section 3.
    binary_mime: bool = False
    #: RFC 3207. False once TLS is on.
    starttls: bool = False
    #: RFC 8689.
    requiretls: bool = False
    #: RFC 2852, with the fewest seconds that a message may be given.
    deliver_by: bool = False
    least_time: int = 0
    #: RFC 9422: transactions in a session and recipients in a transaction; 0: not limited.
    mail_max: int = 0
    recipients_max: int = 0


def features_of(extensions: Mapping[str, str]) -> Features:
    """The features from EHLO keywords in lower case and their parameters.

    Only what is known is kept, so that a host cannot make us hold what it likes.
    """
    size = _NUMBER.fullmatch(extensions.get("size", "").strip())
    least = _SECONDS.fullmatch(extensions.get("deliverby", "").strip())
    limits = extensions.get("limits", "")[:1_000]
    mail_max = _MAILMAX.search(limits)
    recipients_max = _RCPTMAX.search(limits)
    return Features(
        esmtp=True,
        pipelining="pipelining" in extensions,
        size="size" in extensions,
        size_limit=int(size[0]) if size else 0,
        eight_bit_mime="8bitmime" in extensions,
        smtputf8="smtputf8" in extensions,
        dsn="dsn" in extensions,
        mt_priority="mt-priority" in extensions,
        chunking="chunking" in extensions,
        binary_mime="binarymime" in extensions,
        starttls="starttls" in extensions,
        requiretls="requiretls" in extensions,
        deliver_by="deliverby" in extensions,
        least_time=int(least[0]) if least else 0,
        mail_max=int(mail_max[1]) if mail_max else 0,
        recipients_max=int(recipients_max[1]) if recipients_max else 0,
    )
