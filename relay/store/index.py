"""The index of messages by recipient and by tag: where an operator turns it on (`store.index`).

Each delivery has a member in the sorted set `index` for each of its recipients and of its message's
tags: `term|tenant|message.number`. All scores are 0, so that members of a term, and of a tenant in
it, lie side by side, oldest first. `admit` writes them, and they go when the record does
(`relay.store.forgetting`).
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256

from msgspec import Struct

#: Characters of a term: 64 bits in base64.
TERM = 11


class Index(Struct, frozen=True):
    """What is indexed."""

    recipients: bool = False
    tags: bool = False

    def terms(self, tags: Iterable[str], addresses: Iterable[str]) -> tuple[str, ...]:
        """The terms of a delivery to these addresses, each once."""
        if self is NOTHING:
            return ()
        found = [term("recipient", one) for one in addresses] if self.recipients else []
        if self.tags:
            found += [term("tag", tag) for tag in tags]
        return tuple(dict.fromkeys(found))


#: What is written where nothing is turned on.
NOTHING = Index()


def index_of(names: Iterable[str]) -> Index:
    """The index that the names of `store.index` turn on."""
    chosen = frozenset(names)
    return Index("recipients" in chosen, "tags" in chosen) if chosen else NOTHING


def term(kind: str, value: str) -> str:
    """What stands for a recipient or a tag, in whatever case it is written."""
    digest = sha256(f"{kind}\0{value.casefold()}".encode()).digest()[:8]
    return urlsafe_b64encode(digest)[:TERM].decode()


def member(term: str, tenant: str, delivery: str) -> str:
    """The member of a delivery; `admit` makes the same."""
    return f"{term}|{tenant}|{delivery}"


def delivery_in(member: bytes) -> str:
    """The id of the delivery that a member names."""
    return member[member.rindex(b"|") + 1 :].decode()
