"""DNS questions and answers as octets (RFC 1035 section 4), over dnspython's checked reader.

`dns.message` would build the whole message as objects, at four times the time of reading only what
is asked for. Names that come back are in lower case and without the final dot; the root is "".
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from struct import Struct as Layout

import dns.exception
import dns.name
import dns.wire
from msgspec import Struct

from relay.policy.tls import Tlsa

A, CNAME, SOA, MX, TXT, AAAA, TLSA = 1, 5, 6, 15, 16, 28, 52
NS = 2
TYPE_NAMES = {A: "A", AAAA: "AAAA", MX: "MX", TXT: "TXT", TLSA: "TLSA"}

NOERROR, NXDOMAIN = 0, 3
RCODE_NAMES = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED", 9: "NOTAUTH"}

_HEADER = Layout("!6H")
_TYPE_CLASS = Layout("!2H")
_IN = 1
_ASKED = 0x0100  # RD: the server is to find the answer out
_AUTHENTIC = 0x0020  # AD: asks whether the server has validated, and says that it has (RFC 6840)
_RESPONSE, _OPCODE, _TRUNCATED, _RECURSES, _RCODE = 0x8000, 0x7800, 0x0200, 0x0080, 0x000F
#: Records of an answer that are read at most, and links of a chain of aliases that are followed.
_MOST_RECORDS = 256
_LONGEST_CHAIN = 16
#: Of TXT records those of MTA-STS alone are read, and no more of one than this.
_TEXT, _MOST_TEXT = b"v=STSv1", 512
#: Octets of a TLSA record's data: a certificate may be whole in it.
_LARGEST_TLSA = 8192
#: What begins a label is its length below the first, or from the second on points elsewhere; and
#: octets of a name (RFC 1035 sections 3.1 and 4.1.4).
_ONE_LABEL, _POINTS, _LONGEST_NAME = 0x40, 0xC0, 255
#: Of one name, as dnspython allows.
_MOST_POINTERS = 16

Record = tuple[int, str] | str | Tlsa


class Malformed(Exception):
    """The octets are no answer that can be read."""


class Response(Struct, frozen=True):
    """What a server answered to one question. Lives are in seconds."""

    rcode: int
    truncated: bool
    #: Of the type asked for, at the end of the chain of aliases: (preference, host), an address, a
    #: text or a TLSA record.
    records: tuple[Record, ...] = ()
    #: How long the records and the aliases that lead to them may be kept.
    ttl: int = 0
    #: How long it may be kept that there are none (RFC 2308 section 5); None where it is not said.
    negative_ttl: int | None = None
    #: The server only names others to ask, or an alias that it does not look up for us.
    unfinished: bool = False
    #: The server says that all of it is signed and was validated.
    authentic: bool = False


class Question(Struct, frozen=True):
    """One name and type, with its octets in the question section."""

    name: str
    rdtype: int
    wire: bytes

    def __str__(self) -> str:
        return f"{self.name} {TYPE_NAMES[self.rdtype]}"


def question(name: str, rdtype: int) -> Question:
    """The question about a name, which must have been found to be one (`policy.names`)."""
    labels = b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b"."))
    return Question(name, rdtype, labels + b"\0" + _TYPE_CLASS.pack(rdtype, _IN))


def query(asked: Question, number: int, payload: int, *, authentic: bool = False) -> bytes:
    """The octets to send. `payload` is the answer's size that UDP may have (EDNS); 0: no EDNS.
    `authentic`: the server is to say whether it has validated the answer."""
    flags = _ASKED | _AUTHENTIC if authentic else _ASKED
    header = _HEADER.pack(number, flags, 1, 0, 0, 1 if payload else 0)
    edns = b"\0" + Layout("!HHIH").pack(41, payload, 0, 0) if payload else b""
    return header + asked.wire + edns


def answers(octets: bytes, number: int, asked: Question) -> bool:
    """Whether the octets claim to answer this question: what a forger would have to guess."""
    if len(octets) < _HEADER.size:
        return False
    got, flags, questions, *_ = _HEADER.unpack_from(octets)
    end = _HEADER.size + len(asked.wire)
    return (
        got == number
        and flags & (_RESPONSE | _OPCODE) == _RESPONSE
        and questions == 1
        and octets[_HEADER.size : end].lower() == asked.wire
    )


def read(octets: bytes, asked: Question) -> Response:
    """What the server said. Raises Malformed; octets must have passed `answers`."""
    _, flags, _, count, authority, _ = _HEADER.unpack_from(octets)
    rcode = flags & _RCODE
    if flags & _TRUNCATED:
        return Response(rcode, truncated=True)
    if rcode not in (NOERROR, NXDOMAIN):
        return Response(rcode, truncated=False)
    if count + authority > _MOST_RECORDS:
        raise Malformed("too many records")
    try:
        parser = dns.wire.Parser(octets, _HEADER.size + len(asked.wire))
        return _read(parser, asked, flags, count, authority)
    except (dns.exception.DNSException, ValueError) as error:
        raise Malformed(type(error).__name__) from error


def _read(
    parser: dns.wire.Parser, asked: Question, flags: int, count: int, authority: int
) -> Response:
    rcode, authentic = flags & _RCODE, bool(flags & _AUTHENTIC)
    aliases: dict[str, tuple[str, int]] = {}
    found: dict[str, list[tuple[Record, int]]] = {}
    for _ in range(count):
        owner, rdtype, ttl, rdata = _record(parser, asked.rdtype)
        if rdtype == CNAME and isinstance(rdata, str):
            aliases[owner] = rdata, ttl
        elif rdata is not None:
            found.setdefault(owner, []).append((rdata, ttl))
    name, lives = _follow(asked.name, aliases)
    records = found.get(name, [])
    if records and rcode == NOERROR:
        ttl = min([life for _, life in records] + lives)
        found_records = tuple(record for record, _ in records)
        return Response(rcode, False, found_records, ttl, authentic=authentic)
    negative, referred = _authority(parser, authority)
    # A server that recurses has followed the aliases, even where it leaves the SOA out, as stub
    # resolvers do; of another server an alias alone says nothing.
    lonely = bool(lives) and negative is None and not flags & _RECURSES
    unfinished = rcode == NOERROR and (referred or lonely)
    if negative is not None:
        negative = min([negative, *lives])
    return Response(rcode, False, negative_ttl=negative, unfinished=unfinished, authentic=authentic)


def _record(parser: dns.wire.Parser, wanted: int) -> tuple[str, int, int, Record | None]:
    """Owner, type, life and, where it is an alias or of the wanted type, the data of a record."""
    owner = _name(parser)
    rdtype, rdclass, ttl, length = parser.get_struct("!HHIH")
    with parser.restrict_to(length):
        if rdclass != _IN or rdtype not in (wanted, CNAME):
            parser.get_bytes(length)
            return owner, rdtype, 0, None
        return owner, rdtype, _life(ttl), _data(parser, rdtype, length)


def _data(parser: dns.wire.Parser, rdtype: int, length: int) -> Record | None:
    if rdtype == TLSA:
        usage, selector, matching = parser.get_struct("!3B")
        data = parser.get_bytes(length - 3)
        return Tlsa(usage, selector, matching, data) if len(data) <= _LARGEST_TLSA else None
    if rdtype == TXT:
        text = _text(parser.get_bytes(length))
        return text[:_MOST_TEXT].decode("latin-1") if text.startswith(_TEXT) else None
    return _DATA[rdtype](parser)


def _text(octets: bytes) -> bytes:
    """The strings of a TXT record in one piece."""
    text, at = b"", 0
    while at < len(octets):
        text += octets[at + 1 : at + 1 + octets[at]]
        at += 1 + octets[at]
    return text


def _authority(parser: dns.wire.Parser, count: int) -> tuple[int | None, bool]:
    """How long "there is none" holds, by the SOA; and whether other servers are named instead."""
    negative: int | None = None
    servers = False
    for _ in range(count):
        _name(parser)
        rdtype, _, ttl, length = parser.get_struct("!HHIH")
        with parser.restrict_to(length):
            if rdtype == SOA:
                _name(parser)
                _name(parser)
                *_, minimum = parser.get_struct("!5I")
                negative = min(_life(ttl), _life(minimum))
            else:
                servers = servers or rdtype == NS
                parser.get_bytes(length)
    return negative, servers and negative is None


def _follow(name: str, aliases: dict[str, tuple[str, int]]) -> tuple[str, list[int]]:
    """The name at the end of the chain of aliases, and the lives of its links."""
    lives: list[int] = []
    while name in aliases:
        if len(lives) == _LONGEST_CHAIN:
            raise Malformed("a chain of aliases that is too long or runs in a circle")
        name, life = aliases[name]
        lives.append(life)
    return name, lives


def _life(ttl: int) -> int:
    """The life in seconds; one with the highest bit set counts as none (RFC 2181 section 8)."""
    return ttl if ttl < 1 << 31 else 0


def _name(parser: dns.wire.Parser) -> str:
    """A name, its compression followed (RFC 1035 section 4.1.4): dnspython's own reading of one
    costs as much as all else about an answer. Raises DNSException."""
    octets, start, end = parser.wire, parser.current, parser.end
    at, behind, size, pointers = start, 0, 1, 0
    labels: list[bytes] = []
    while count := _octet(octets, at, end):
        at += 1
        if count < _ONE_LABEL:
            size += 1 + count
            if size > _LONGEST_NAME or at + count > end:
                raise dns.name.NameTooLong
            labels.append(octets[at : at + count])
            at += count
        elif count >= _POINTS:
            target = (count & ~_POINTS) << 8 | _octet(octets, at, end)
            pointers += 1
            if target >= start or pointers > _MOST_POINTERS:
                raise dns.name.BadPointer
            # Only ever to what is before, and up to where this began, so that it ends.
            behind, end, start, at = behind or at + 1, start, target, target
        else:
            raise dns.name.BadLabelType
    parser.seek(behind or at + 1)
    if any(b"." in label for label in labels):
        # A dot within a label would make it look like two: no such host exists.
        return "\\"
    return b".".join(labels).decode("latin-1").lower()


def _octet(octets: bytes, at: int, end: int) -> int:
    if at >= end:
        raise dns.exception.FormError
    return octets[at]


def _mail_host(parser: dns.wire.Parser) -> Record:
    return parser.get_uint16(), _name(parser)


def _address(family: socket.AddressFamily, size: int) -> Callable[[dns.wire.Parser], Record]:
    return lambda parser: socket.inet_ntop(family, parser.get_bytes(size))


_DATA: dict[int, Callable[[dns.wire.Parser], Record]] = {
    CNAME: lambda parser: _name(parser),
    MX: _mail_host,
    A: _address(socket.AF_INET, 4),
    AAAA: _address(socket.AF_INET6, 16),
}
