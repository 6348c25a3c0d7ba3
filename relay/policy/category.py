"""What a reply that defers or bounces is about: the subject of its enhanced status code.

RFC 3463 section 3 has the subjects. Relay's own words for what never came to a reply carry such
codes too (4.4.1: no answer from host). Where a host sent none, its reply code decides nothing:
550 is said of unknown users and of unwanted clients alike.
"""

from __future__ import annotations

from relay.mail.reply import Reply

#: By the second number of the enhanced status code.
_SUBJECTS = {
    "1": "address",
    "2": "mailbox",
    "3": "system",
    "4": "network",
    "5": "protocol",
    "6": "content",
    "7": "policy",
}
#: Subject and detail that mean something else to who runs a relay: a full mailbox is emptied by
#: its owner, a disabled or refusing one is not.
_DETAILS = {"2.2": "full"}
#: No enhanced status code, or one of subject 0.
UNSPECIFIED = "unspecified"
CATEGORIES = (*_SUBJECTS.values(), *_DETAILS.values(), UNSPECIFIED)


def category(reply: Reply) -> str:
    """One of CATEGORIES."""
    _, _, about = reply.enhanced.partition(".")
    return _DETAILS.get(about) or _SUBJECTS.get(about.partition(".")[0], UNSPECIFIED)
