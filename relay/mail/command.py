"""Commands: one line from a client, read into a value or into the reply that refuses it.

The grammar is that of RFC 5321 section 4.1, with SIZE (RFC 1870), 8BITMIME (RFC 6152) and STARTTLS
(RFC 3207). Blanks after `MAIL FROM:` and `RCPT TO:` are let pass, as nothing can hide in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from relay.mail import answers
from relay.mail.address import BadAddress, Path, parse_path
from relay.mail.reply import Reply

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
    """A transaction begins; `size` is what the client announced, 0 where it did not."""

    sender: str
    size: int = 0
    eight_bit: bool = False


class Rcpt(Struct, frozen=True):
    """One recipient; `postmaster` may stand without a domain."""

    address: str


class Data(Struct, frozen=True):
    """The content follows."""


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


Command = Ehlo | Helo | Mail | Rcpt | Data | Rset | Noop | Vrfy | Help | Quit | StartTls | Refused

#: The name a client gives itself goes into the trace header: only what is safe there.
_NAME = re.compile(rb" +([\w.:\[\]-]{1,255}+) *", re.ASCII)
_PARAMETER = re.compile(rb" +([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([!-<>-~]++))?")
_CONTROL = re.compile(rb"[\0-\x1f\x7f]")
_FROM = re.compile(rb" FROM: *", re.IGNORECASE)
_TO = re.compile(rb" TO: *", re.IGNORECASE)
_SIZE = re.compile(rb"[0-9]{1,20}")


def parse_command(line: bytes) -> Command:
    """The command in `line`, which is given without its CRLF."""
    verb = line[:4].upper()
    parse = _PARSERS.get(verb)
    if parse is None:
        return _other(line)
    if len(line) > LONGEST_PLAIN_LINE - 2 and verb not in _LONG:
        return Refused(answers.LINE_TOO_LONG)
    return parse(line)


def _mail(line: bytes) -> Command:
    path = _path_after(_FROM, line)
    if isinstance(path, BadAddress):
        return _bad_address("5.1.7", path)
    if path.address == "postmaster":
        return _bad_address("5.1.7", BadAddress("no domain"))
    if path.end == len(line):
        return Mail(path.address)
    parameters = _parameters(line, path.end)
    if isinstance(parameters, Reply):
        return Refused(parameters)
    return _mail_with(path.address, parameters)


def _mail_with(sender: str, parameters: dict[bytes, bytes]) -> Command:
    size, eight_bit = 0, False
    for name, value in parameters.items():
        if name == b"SIZE":
            if not _SIZE.fullmatch(value):
                return Refused(answers.BAD_SYNTAX)
            size = int(value)
        elif name == b"BODY":
            if value.upper() not in (b"7BIT", b"8BITMIME"):
                return Refused(answers.BAD_SYNTAX)
            eight_bit = value.upper() == b"8BITMIME"
        else:
            return Refused(answers.NO_SUCH_PARAMETER)
    return Mail(sender, size, eight_bit)


def _rcpt(line: bytes) -> Command:
    path = _path_after(_TO, line)
    if isinstance(path, BadAddress):
        return _bad_address("5.1.3", path)
    if not path.address:
        return _bad_address("5.1.3", BadAddress("a recipient cannot be empty"))
    if path.end == len(line):
        return Rcpt(path.address)
    parameters = _parameters(line, path.end)
    return Refused(
        parameters if isinstance(parameters, Reply) else answers.NO_SUCH_PARAMETER,
    )


def _path_after(keyword: re.Pattern[bytes], line: bytes) -> Path | BadAddress:
    found = keyword.match(line, 4)
    return parse_path(line, found.end()) if found else BadAddress("FROM: or TO: is missing")


def _bad_address(status: str, bad: BadAddress) -> Refused:
    """RFC 5321 section 4.2.3 for the syntax, RFC 6531 section 3.5 for what is beyond ASCII."""
    if bad.beyond_ascii:
        return Refused(Reply(553, "5.6.7", "Address is not ASCII"))
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


def _other(line: bytes) -> Command:
    """What does not begin with a verb of four letters that is served."""
    word = line.partition(b" ")[0].upper()
    if word == b"STARTTLS":
        return StartTls() if len(line) == 8 else Refused(answers.BAD_SYNTAX)
    if word in _KNOWN:
        return Refused(answers.NOT_IMPLEMENTED)
    # A browser made to speak to this port must not get a second line in (cross-protocol attack).
    return Refused(answers.NOT_SMTP, fatal=True) if word in _HTTP else Refused(answers.UNKNOWN)


_PARSERS: dict[bytes, Callable[[bytes], Command]] = {
    b"MAIL": _mail,
    b"RCPT": _rcpt,
    b"DATA": _alone(Data()),
    b"EHLO": _ehlo,
    b"HELO": _helo,
    b"RSET": _alone(Rset()),
    b"NOOP": _with_text(Noop()),
    b"VRFY": _vrfy,
    b"HELP": _with_text(Help()),
    b"QUIT": _alone(Quit()),
}
_LONG = frozenset({b"MAIL", b"RCPT"})
_KNOWN = frozenset({b"EXPN", b"TURN", b"ETRN", b"SEND", b"SOML", b"SAML", b"AUTH", b"BDAT"})
_HTTP = frozenset(
    {b"GET", b"POST", b"PUT", b"HEAD", b"CONNECT", b"OPTIONS", b"DELETE", b"PATCH", b"TRACE"}
)
