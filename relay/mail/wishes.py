"""Wishes: what the parameters of MAIL and RCPT ask for a message and a recipient.

SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531), RET, ENVID, NOTIFY and ORCPT (RFC
3461), AUTH (RFC 4954), REQUIRETLS (RFC 8689), HOLDFOR and HOLDUNTIL (RFC 4865), BY (RFC 2852),
MT-PRIORITY (RFC 6710).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from relay.mail import answers
from relay.mail.extensions import Extension
from relay.mail.reply import Reply

#: Characters of ENVID and ORCPT (RFC 3461 sections 4.4 and 4.2).
LONGEST_ENVID = 100
LONGEST_ORCPT = 500

_SIZE = re.compile(rb"[0-9]{1,20}")
_XTEXT = re.compile(rb"(?=[!-<>-~])[!-*,-<>-~]*+(?>(?:\+[2-7][0-9A-F](?<!7F)[!-*,-<>-~]*+)*)")
_HEX = re.compile(r"\+([0-9A-F]{2})")
_ADDRESS_TYPE = re.compile(rb"[A-Za-z0-9-]{1,60}+")
_HOLD_FOR = re.compile(rb"[0-9]{1,9}")
_BY = re.compile(rb"([+-]?[0-9]{1,9});([RN])(T?)", re.IGNORECASE)
_PRIORITY = re.compile(rb"-?[0-9]")
_NOTIFY = ("SUCCESS", "FAILURE", "DELAY")


class By(Struct, frozen=True):
    """RFC 2852: `seconds` from now, counted down where it is passed on."""

    seconds: int
    #: R: return what is not delivered by then; else N: tell that it is late.
    returned: bool
    #: T: each relay is to be told.
    traced: bool = False

    @property
    def mode(self) -> str:
        """As it is written."""
        return ("R" if self.returned else "N") + "T" * self.traced


class Wishes(Struct, frozen=True):
    """What MAIL asks for the message. `needs`: the extensions that this uses."""

    needs: frozenset[Extension] = frozenset()
    size: int = 0
    eight_bit: bool = False
    binary: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    require_tls: bool = False
    #: Seconds to wait; or the Unix time to wait for. 0: at once.
    hold_for: int = 0
    hold_until: float = 0.0
    by: By | None = None
    #: From -9 to 9.
    priority: int = 0
    #: AUTH= was given: whom the client says the message is from.
    auth: bool = False


NO_WISHES = Wishes()

#: A parameter's effect on the fields gathered so far; False where its value is malformed.
_Take = Callable[[bytes, dict[str, Any]], bool]


def mail_wishes(parameters: Mapping[bytes, bytes]) -> Wishes | Reply:
    """The wishes in the parameters of MAIL, or the reply that refuses them."""
    if len(parameters) == 1 and b"SIZE" in parameters:
        size = parameters[b"SIZE"]
        return Wishes(size=int(size)) if _SIZE.fullmatch(size) else answers.BAD_SYNTAX
    fields: dict[str, Any] = {}
    needs = set()
    for name, value in parameters.items():
        known = _OF_MAIL.get(name)
        if known is None:
            return answers.NO_SUCH_PARAMETER
        extension, take = known
        if not take(value, fields):
            return answers.BAD_SYNTAX
        if extension is not None:
            needs.add(extension)
    if "hold_for" in fields and "hold_until" in fields:
        # RFC 4865 section 4.1: one of both.
        return answers.BAD_SYNTAX
    if fields.get("binary"):
        needs.add(Extension.BINARYMIME)
    return Wishes(needs=frozenset(needs), **fields)


def recipient_wishes(parameters: Mapping[bytes, bytes]) -> tuple[str, str] | Reply:
    """NOTIFY and ORCPT of RCPT, each "" where it is not given, or the reply that refuses them."""
    notify = orcpt = ""
    for name, value in parameters.items():
        if name == b"NOTIFY":
            notify = _notify(value)
        elif name == b"ORCPT":
            orcpt = _orcpt(value)
        else:
            return answers.NO_SUCH_PARAMETER
        if not (notify if name == b"NOTIFY" else orcpt):
            return answers.BAD_SYNTAX
    return notify, orcpt


def xtext(value: bytes) -> str:
    """What xtext stands for (RFC 3461 section 4); what is none is left as it is."""
    return _HEX.sub(lambda found: chr(int(found[1], 16)), value.decode())


def _notify(value: bytes) -> str:
    words = value.decode().upper().split(",")
    if words == ["NEVER"]:
        return "NEVER"
    return ",".join(words) if set(words) <= set(_NOTIFY) and len(set(words)) == len(words) else ""


def _orcpt(value: bytes) -> str:
    kind, semicolon, address = value.partition(b";")
    good = (
        semicolon
        and len(value) <= LONGEST_ORCPT
        and _ADDRESS_TYPE.fullmatch(kind)
        and (_XTEXT.fullmatch(address))
    )
    return value.decode() if good else ""


def _size(value: bytes, fields: dict[str, Any]) -> bool:
    if not _SIZE.fullmatch(value):
        return False
    fields["size"] = int(value)
    return True


def _body(value: bytes, fields: dict[str, Any]) -> bool:
    word = value.upper()
    fields["eight_bit"] = word == b"8BITMIME"
    fields["binary"] = word == b"BINARYMIME"
    return word in (b"7BIT", b"8BITMIME", b"BINARYMIME")


def _ret(value: bytes, fields: dict[str, Any]) -> bool:
    fields["ret"] = value.upper().decode()
    return fields["ret"] in ("FULL", "HDRS")


def _envid(value: bytes, fields: dict[str, Any]) -> bool:
    fields["envid"] = value.decode()
    return len(value) <= LONGEST_ENVID and bool(_XTEXT.fullmatch(value))


def _auth(value: bytes, fields: dict[str, Any]) -> bool:
    # Whoever it names, the client says so: it is not passed on (RFC 4954 section 5).
    fields["auth"] = True
    return value == b"<>" or bool(_XTEXT.fullmatch(value))


def _hold_for(value: bytes, fields: dict[str, Any]) -> bool:
    good = bool(_HOLD_FOR.fullmatch(value))
    fields["hold_for"] = int(value) if good else 0
    return good


def _hold_until(value: bytes, fields: dict[str, Any]) -> bool:
    """A time as RFC 3339 writes it, with its offset."""
    try:
        moment = datetime.fromisoformat(value.decode().upper())
    except ValueError:
        return False
    if moment.tzinfo is None or len(value) < len("2000-01-01T00:00:00Z"):
        return False
    fields["hold_until"] = moment.timestamp()
    return True


def _by(value: bytes, fields: dict[str, Any]) -> bool:
    found = _BY.fullmatch(value)
    if found is None:
        return False
    fields["by"] = by = By(int(found[1]), found[2].upper() == b"R", bool(found[3]))
    # Nothing can be returned before it was sent (RFC 2852 section 4).
    return not (by.returned and by.seconds <= 0)


def _priority(value: bytes, fields: dict[str, Any]) -> bool:
    good = bool(_PRIORITY.fullmatch(value)) and value != b"-0"
    fields["priority"] = int(value) if good else 0
    return good


def _flag(field: str) -> _Take:
    """A parameter without a value."""

    def take(value: bytes, fields: dict[str, Any]) -> bool:
        fields[field] = True
        return not value

    return take


_OF_MAIL: dict[bytes, tuple[Extension | None, _Take]] = {
    b"SIZE": (None, _size),
    b"BODY": (None, _body),
    b"AUTH": (None, _auth),
    b"SMTPUTF8": (Extension.SMTPUTF8, _flag("smtputf8")),
    b"RET": (Extension.DSN, _ret),
    b"ENVID": (Extension.DSN, _envid),
    b"REQUIRETLS": (Extension.REQUIRETLS, _flag("require_tls")),
    b"HOLDFOR": (Extension.FUTURERELEASE, _hold_for),
    b"HOLDUNTIL": (Extension.FUTURERELEASE, _hold_until),
    b"BY": (Extension.DELIVERBY, _by),
    b"MT-PRIORITY": (Extension.MT_PRIORITY, _priority),
}
