"""Which texts are names of domains and hosts (RFC 1035 section 2.3.1, RFC 1123 section 2.1)."""

from __future__ import annotations

import re

#: 253 characters are the 255 octets of RFC 1035 section 3.1, without the root and the first length.
LONGEST_NAME = 253
#: Letters, digits and inner hyphens; also the underscore, which no rule allows and hosts do use.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def is_name(text: str) -> bool:
    """Whether `text` can be looked up: A-labels in lower case, and no address in disguise.

    No top-level domain is all digits (RFC 3696 section 2), so `192.0.2.1` is no name.
    """
    return (
        len(text) <= LONGEST_NAME
        and _NAME.fullmatch(text) is not None
        and not text[text.rfind(".") + 1 :].isdigit()
    )


def normal(text: str) -> str:
    """The one spelling of a name: lower case, no final dot."""
    return text.lower().removesuffix(".")
