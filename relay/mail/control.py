"""Control header fields: what a client asks of Relay in its message, taken out before sending."""

from __future__ import annotations

import re
from functools import lru_cache

from relay.mail import answers
from relay.mail.header import section_end
from relay.mail.reply import Reply

#: Characters of an idempotency key at most.
LONGEST_KEY = 255
_KEY = re.compile(rb"[!-~]{1,%d}" % LONGEST_KEY)


def take_key(chunks: tuple[bytes, ...], field: str) -> tuple[str, tuple[bytes, ...]] | Reply:
    """The idempotency key in the header field of that name, and the content without the field.

    The key is "" where there is no such field. A reply says why the message cannot be taken: what
    was asked for must not be passed over, or the message might be sent twice. Header fields are
    looked for in the first chunk.
    """
    if not chunks or not field:
        return "", chunks
    head = chunks[0]
    end = section_end(head)
    begins, pattern = _pattern(field)
    # Hardly any message has one, and the pattern takes four times as long to find that out.
    if begins not in head[:end].lower():
        return "", chunks
    found = pattern.search(head, 0, end)
    if found is None:
        return "", chunks
    key = found[1].strip(b" \t")
    if not _KEY.fullmatch(key):
        return answers.BAD_KEY
    if pattern.search(head, found.end(), end):
        return answers.TWO_KEYS
    return key.decode(), (head[: found.start()] + head[found.end() :], *chunks[1:])


@lru_cache(maxsize=8)
def _pattern(field: str) -> tuple[bytes, re.Pattern[bytes]]:
    """How the field begins, in lower case; and the whole field, its end and continuation lines
    (which no key has) included."""
    name = re.escape(field.encode())
    whole = rb"^%b:([^\r]*+(?>(?:\r\n[ \t][^\r]*+)*))\r\n" % name
    return b"%b:" % field.lower().encode(), re.compile(whole, re.IGNORECASE | re.MULTILINE)
