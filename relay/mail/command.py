"""Commands: one line from a client, read into a value or into the reply that refuses it.

The grammar is that of RFC 5321 section 4.1, with the parameters of `relay.mail.wishes`, STARTTLS
(RFC 3207), AUTH (RFC 4954), BDAT (RFC 3030) and XCLIENT (Postfix's XCLIENT_README). Blanks after
`MAIL FROM:` and `RCPT TO:` are let pass, as nothing can hide in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from relay.mail import answers
from relay.mail.address import (
    PLAIN_PATH,
    BadAddress,
    Path,
    parse_path,
    plain_address,
    plain_path,
)
from relay.mail.login import LONGEST_LINE as LONGEST_LOGIN
from relay.mail.reply import Reply
from relay.mail.wishes import NO_WISHES, Wishes, mail_wishes, recipient_wishes, xtext

#: Octets of a line with its CRLF: of MAIL and RCPT, which take parameters, and of any other
#: (RFC 5321 section 4.5.3.1.4).
LONGEST_LINE = 2048
LONGEST_PLAIN_LINE = 512


class Ehlo(Struct, frozen=True):
    """The client greets and asks for extensions; `name` has no blank and no control character."""

    name: str


class Helo(Struct, frozen=True):
    """The client greets the old way."""

    name: str


class Mail(Struct, frozen=True):
    """A transaction begins; `wide`: the sender is written beyond ASCII, which SMTPUTF8 allows."""

    sender: str
    wishes: Wishes = NO_WISHES
    wide: bool = False


class Rcpt(Struct, frozen=True):
    """One recipient; `postmaster` may stand without a domain. `wide` as in `Mail`."""

    address: str
    notify: str = ""
    orcpt: str = ""
    wide: bool = False


class Data(Struct, frozen=True):
    """The content follows."""


class Bdat(Struct, frozen=True):
    """So many octets of content follow, the last ones or not."""

    size: int
    last: bool


class Auth(Struct, frozen=True):
    """The client logs in by a mechanism; `initial` is its first response, None where it waits."""

    mechanism: str
    initial: bytes | None = None


class XClient(Struct, frozen=True):
    """A client tells whom it speaks for: the address ("" for none), the name given in EHLO."""

    address: str | None = None
    name: str | None = None


class Rset(Struct, frozen=True):
    """The transaction is given up."""


class Noop(Struct, frozen=True):
    """Nothing, but an answer."""


class Vrfy(Struct, frozen=True):
    """Whether an address exists, which is never told."""


class Help(Struct, frozen=True):
    """Which commands there are."""


class Quit(Struct, frozen=True):
    """The client is done."""


class StartTls(Struct, frozen=True):
    """The TLS handshake follows."""


class Refused(Struct, frozen=True):
    """A line that is no command, with its reply; after some the session must end."""

    reply: Reply
    fatal: bool = False


Command = (
    Ehlo
    | Helo
    | Mail
    | Rcpt
    | Data
    | Bdat
    | Auth
    | XClient
    | Rset
    | Noop
    | Vrfy
    | Help
    | Quit
    | StartTls
    | Refused
)

#: The name a client gives itself goes into the trace header: only what is safe there.
_NAME = re.compile(rb" +([\w.:\[\]-]{1,255}+) *", re.ASCII)
_PARAMETER = re.compile(rb" +([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([!-<>-~]++))?")
_CONTROL = re.compile(rb"[\0-\x1f\x7f]")
_FROM = re.compile(rb" FROM: *", re.IGNORECASE)
_TO = re.compile(rb" TO: *", re.IGNORECASE)
#: A whole RCPT line without parameters, as nearly all are.
_PLAIN_RCPT = re.compile(rb"RCPT TO: *+" + PLAIN_PATH, re.IGNORECASE)
_BDAT = re.compile(rb" +([0-9]{1,18})(?: +(LAST))? *", re.IGNORECASE)
_AUTH = re.compile(rb" +([A-Za-z0-9_-]{1,20})(?: +([A-Za-z0-9+/=]++))? *")


def parse_command(line: bytes) -> Command:
    """The command in `line`, which is given without its CRLF."""
    verb = line[:4].upper()
    parse = _PARSERS.get(verb)
    if parse is None:
        return _other(line)
    if len(line) > _LONG.get(verb, LONGEST_PLAIN_LINE) - 2:
        return Refused(answers.LINE_TOO_LONG)
    return parse(line)


# A client has few senders, and names one of them for each message.
@lru_cache(maxsize=256)
def _mail(line: bytes) -> Command:
    path = _path_after(_FROM, line)
    if isinstance(path, BadAddress):
        return _bad_address("5.1.7", path)
    if path.address == "postmaster":
        return _bad_address("5.1.7", BadAddress("no domain"))
    if path.end == len(line) and line.isascii():
        return Mail(path.address)
    parameters = _parameters(line, path.end)
    wishes = parameters if isinstance(parameters, Reply) else mail_wishes(parameters)
    if isinstance(wishes, Reply):
        return Refused(wishes)
    wide = not line.isascii()
    return (
        Refused(answers.NOT_ASCII) if wide > wishes.smtputf8 else Mail(path.address, wishes, wide)
    )


def _rcpt(line: bytes) -> Command:
    plain = _PLAIN_RCPT.fullmatch(line)
    if plain is not None:
        address = plain_path(*plain.groups())
        return Rcpt(address) if isinstance(address, str) else _bad_address("5.1.3", address)
    path = _path_after(_TO, line)
    if not isinstance(path, Path):
        return _bad_address("5.1.3", path)
    if not path.address:
        return _bad_address("5.1.3", BadAddress("a recipient cannot be empty"))
    wide = not line.isascii()
    if path.end == len(line):
        return Rcpt(path.address, "", "", wide)
    parameters = _parameters(line, path.end)
    wishes = parameters if isinstance(parameters, Reply) else recipient_wishes(parameters)
    return Refused(wishes) if isinstance(wishes, Reply) else Rcpt(path.address, *wishes, wide)


def _bdat(line: bytes) -> Command:
    found = _BDAT.fullmatch(line, 4)
    # Nobody knows how many octets of content follow, so that none of them may be read.
    return Bdat(int(found[1]), bool(found[2])) if found else Refused(answers.BAD_SYNTAX, fatal=True)


def _auth(line: bytes) -> Command:
    found = _AUTH.fullmatch(line, 4)
    return Auth(found[1].decode().upper(), found[2]) if found else Refused(answers.BAD_SYNTAX)


def _path_after(keyword: re.Pattern[bytes], line: bytes) -> Path | BadAddress:
    found = keyword.match(line, 4)
    return (
        parse_path(line, found.end(), smtputf8=True)
        if found
        else BadAddress("FROM: or TO: is missing")
    )


def _bad_address(status: str, bad: BadAddress) -> Refused:
    return Refused(Reply(501, status, f"Bad address: {bad.why}"))


def _parameters(line: bytes, start: int) -> dict[bytes, bytes] | Reply:
    """What follows the path, names in upper case; a name without a value has an empty one."""
    parameters: dict[bytes, bytes] = {}
    end = len(line.rstrip(b" "))
    while start < end:
        found = _PARAMETER.match(line, start, end)
        if found is None:
            return answers.BAD_SYNTAX
        name = found[1].upper()
        if name in parameters:
            return answers.REPEATED
        parameters[name] = found[2] or b""
        start = found.end()
    return parameters


def _ehlo(line: bytes) -> Command:
    found = _NAME.fullmatch(line, 4)
    return Ehlo(found[1].decode()) if found else Refused(answers.BAD_SYNTAX)


def _helo(line: bytes) -> Command:
    found = _NAME.fullmatch(line, 4)
    return Helo(found[1].decode()) if found else Refused(answers.BAD_SYNTAX)


def _alone(command: Command) -> Callable[[bytes], Command]:
    """The parser of a command that takes no argument (RFC 5321 section 4.1.1.2: 501 for one)."""

    def parse(line: bytes) -> Command:
        if len(line) == 4 or not line[4:].strip(b" "):
            return command
        return _other(line) if line[4:5] != b" " else Refused(answers.BAD_SYNTAX)

    return parse


def _with_text(command: Command) -> Callable[[bytes], Command]:
    """The parser of a command whose argument does not matter, so long as it is clean."""

    def parse(line: bytes) -> Command:
        if line[4:5] not in (b"", b" "):
            return _other(line)
        return Refused(answers.BAD_SYNTAX) if _CONTROL.search(line) else command

    return parse


def _vrfy(line: bytes) -> Command:
    return _with_text(Vrfy())(line) if line[4:].strip(b" ") else Refused(answers.BAD_SYNTAX)


def _xclient(line: bytes) -> Command:
    attributes = _parameters(line, len(b"XCLIENT"))
    if isinstance(attributes, Reply):
        return Refused(attributes)
    values = {name: xtext(value) for name, value in attributes.items()}
    address, name = values.get(b"ADDR"), values.get(b"HELO")
    if address is not None:
        address = "" if address.startswith("[") else plain_address(address)
        if address is None:
            return Refused(answers.BAD_SYNTAX)
    if name is not None and not _NAME.fullmatch(f" {name}".encode()):
        return Refused(answers.BAD_SYNTAX)
    known = {b"NAME", b"ADDR", b"PORT", b"PROTO", b"HELO", b"DESTADDR", b"DESTPORT"}
    if not values or not values.keys() <= known:
        return Refused(answers.BAD_SYNTAX)
    return XClient(address, name)


def _other(line: bytes) -> Command:
    """What does not begin with a verb of four letters that is served."""
    word = line.partition(b" ")[0].upper()
    if word == b"XCLIENT":
        return _xclient(line)
    if word == b"STARTTLS":
        return StartTls() if len(line) == 8 else Refused(answers.BAD_SYNTAX)
    if word in _KNOWN:
        return Refused(answers.NOT_IMPLEMENTED)
    # A browser made to speak to this port must not get a second line in (cross-protocol attack).
    return Refused(answers.NOT_SMTP, fatal=True) if word in _OTHERS else Refused(answers.UNKNOWN)


_PARSERS: dict[bytes, Callable[[bytes], Command]] = {
    b"MAIL": _mail,
    b"RCPT": _rcpt,
    b"DATA": _alone(Data()),
    b"BDAT": _bdat,
    b"AUTH": _auth,
    b"EHLO": _ehlo,
    b"HELO": _helo,
    b"RSET": _alone(Rset()),
    b"NOOP": _with_text(Noop()),
    b"VRFY": _vrfy,
    b"HELP": _with_text(Help()),
    b"QUIT": _alone(Quit()),
}
#: Octets of a line with its CRLF, where they may be more than those of a plain one.
_LONG = {b"MAIL": LONGEST_LINE, b"RCPT": LONGEST_LINE, b"AUTH": LONGEST_LOGIN}
_KNOWN = frozenset({b"EXPN", b"TURN", b"ETRN", b"SEND", b"SOML", b"SAML"})
#: The first words of other protocols, and of a PROXY header that nobody asked for.
_OTHERS = frozenset(
    {b"GET", b"POST", b"PUT", b"HEAD", b"CONNECT", b"OPTIONS", b"DELETE", b"PATCH", b"TRACE"}
    | {b"PROXY"}
)
