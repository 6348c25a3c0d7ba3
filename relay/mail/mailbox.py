"""Mailboxes as people write them: `Bob <bob@example.net>`, one at a time (RFC 5322 section 3.4)."""

from __future__ import annotations

import re
from email.utils import formataddr

from msgspec import Struct

from relay.mail.address import BadAddress, parse_mailbox

#: Characters of a display name at most, so that a header line stays below 998 octets.
LONGEST_NAME = 128

_NAMED = re.compile(r'\s*+(?:"([^"\\]*+(?>(?:\\.[^"\\]*+)*))"|([^<>"]*+))\s*+<([^<>]++)>\s*+')
_PAIR = re.compile(r"\\(.)")
_SPECIALS = re.compile(r'[()<>@,:;".\[\]\\]')
_QUOTED = re.compile(r'(["\\])')


class Mailbox(Struct, frozen=True):
    """An address in canonical form, and the name in front of it, `""` for none."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What stands right of the last @."""
        return self.address[self.address.rindex("@") + 1 :]


def mailbox_of(text: str) -> Mailbox | BadAddress:
    """The mailbox that a text names; never a list, a group or a comment."""
    if not text.isprintable():
        return BadAddress("a control character, or one that cannot be seen")
    if "<" not in text:
        address = parse_mailbox(text.strip(), smtputf8=True)
        return address if isinstance(address, BadAddress) else Mailbox("", address)
    found = _NAMED.fullmatch(text)
    if found is None:
        return BadAddress("not of the form name <local@domain>")
    name = _PAIR.sub(r"\1", found[1]) if found[1] is not None else found[2].strip()
    if len(name) > LONGEST_NAME:
        return BadAddress(f"a name of more than {LONGEST_NAME} characters")
    address = parse_mailbox(found[3], smtputf8=True)
    return address if isinstance(address, BadAddress) else Mailbox(name, address)


def written(mailbox: Mailbox) -> str:
    """As a header field has it: the name quoted or encoded where it must be (RFC 2047).

    Beyond ASCII only where the local part is, which needs SMTPUTF8 in any case (RFC 6532).
    """
    if not mailbox.name:
        return mailbox.address
    if mailbox.address.isascii():
        return formataddr((mailbox.name, mailbox.address))
    name = mailbox.name
    if _SPECIALS.search(name):
        name = '"' + _QUOTED.sub(r"\\\1", name) + '"'
    return f"{name} <{mailbox.address}>"
