"""`relay sendmail`: what cron, PHP and git call as sendmail(1), with Postfix's options.

The message goes to the SMTP server of the settings, so that who may send is decided there. What is
wrong is told by the exit codes of sysexits.h, as callers of sendmail expect.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from email import message_from_bytes, policy
from email.utils import formataddr, formatdate, getaddresses, make_msgid
from typing import Any, NamedTuple, NoReturn

from relay.cli.submit import Outgoing, submit
from relay.config import load_settings
from relay.errors import ConfigError, RelayError, SubmissionRefused
from relay.mail.address import BadAddress, parse_mailbox
from relay.mail.compose import xtext
from relay.mail.raw import with_crlf

OK, USAGE, DATAERR, NOUSER, UNAVAILABLE, TEMPFAIL, CONFIG = 0, 64, 65, 67, 69, 75, 78

#: Options with a value, in the same word or the next; the others with none.
_VALUED = "ABCdFfhLNoOpRrVX"
_PLAIN = frozenset(("-i", "-m", "-n", "-t", "-U", "-v", "-G", "-bm", "-em", "-oi"))
_MODES = {
    "-bs": "SMTP on standard input is not spoken here: connect to `relay smtp`",
    "-bd": "start `relay smtp` instead",
    "-bp": "ask `relay queue` instead",
    "-bi": "there are no aliases here",
    "-bv": "addresses are not verified here",
    "-q": "the queue is worked on all the time",
}
_DSN = {"never": "NEVER", "success": "SUCCESS", "failure": "FAILURE", "delay": "DELAY"}
_RET = {"full": "FULL", "hdrs": "HDRS"}
_BODY = ("7bit", "8bitmime")
_FROM_LINE = re.compile(rb"From [^\n]*\n")
_BLIND = re.compile(rb"(?im)^(?:resent-)?bcc[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")


class Asked(NamedTuple):
    """What the command line asks for."""

    recipients: tuple[str, ...]
    sender: str | None = None
    name: str = ""
    from_header: bool = False
    dots_end: bool = True
    notify: str = ""
    ret: str = ""
    envid: str = ""
    #: The settings file.
    config: str | None = None


class Refused(Exception):
    """Why the message was not taken, and the exit code that says it."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def sendmail(arguments: Namespace) -> int:
    """Submit the message on standard input; the exit code is one of sysexits.h."""
    try:
        asked = parse(arguments.words)
        octets = _read(sys.stdin.buffer.read(), asked)
        server = load_settings(asked.config).smtp.listen[0]
        submit(server, outgoing(octets, asked))
    except Refused as error:
        return _told(error.code, str(error))
    except SubmissionRefused as error:
        temporary = error.reply.code // 100 == 4
        return _told(TEMPFAIL if temporary else UNAVAILABLE, str(error.reply))
    except ConnectionError as error:
        return _told(TEMPFAIL, str(error))
    except ConfigError as error:
        return _told(CONFIG, str(error))
    except RelayError as error:
        return _told(TEMPFAIL, str(error))
    return OK


def parse(words: Sequence[str]) -> Asked:
    """The options and recipients, read as sendmail(1) reads them. Raises Refused."""
    asked = Asked(())
    recipients: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            recipients += left
        elif not word.startswith("-") or word == "-":
            recipients.append(word)
        else:
            asked = _option(asked, word, left)
    return asked._replace(recipients=tuple(recipients))


def _option(asked: Asked, word: str, left: Iterator[str]) -> Asked:
    for mode, remedy in _MODES.items():
        if word.startswith(mode):
            raise Refused(USAGE, f"{mode}: {remedy}")
    if word in ("-i", "-oi"):
        return asked._replace(dots_end=False)
    if word == "-t":
        return asked._replace(from_header=True)
    if word in ("-ti", "-it"):
        return asked._replace(from_header=True, dots_end=False)
    if word in _PLAIN or re.fullmatch(r"-[oe].+|-v+", word):
        return asked
    letter = word[1]
    if letter not in _VALUED:
        raise Refused(USAGE, f"{word}: no such option")
    value = word[2:] or next(left, None)
    if value is None:
        raise Refused(USAGE, f"{word}: needs a value")
    return _valued(asked, letter, value)


def _valued(asked: Asked, letter: str, value: str) -> Asked:
    name, read = _READ.get(letter, ("", str))
    found: dict[str, Any] = {name: read(value)}
    return asked._replace(**found) if name else asked


def _notify(value: str) -> str:
    keywords = [_DSN.get(one.strip().lower(), "") for one in value.split(",")]
    if not all(keywords) or ("NEVER" in keywords and len(keywords) > 1):
        raise Refused(USAGE, f"-N {value}: write never, or some of success,failure,delay")
    return ",".join(keywords)


def _ret(value: str) -> str:
    if value.lower() not in _RET:
        raise Refused(USAGE, f"-R {value}: write full or hdrs")
    return _RET[value.lower()]


def _envid(value: str) -> str:
    if not (value.isascii() and value.isprintable() and 0 < len(value) <= 100):
        raise Refused(USAGE, "-V: is not ASCII of 100 characters at most")
    return xtext(value)


def _body(value: str) -> str:
    """Told by what the message has in any case."""
    if value.lower() not in _BODY:
        raise Refused(USAGE, f"-B {value}: write 7BIT or 8BITMIME")
    return ""


def _name(value: str) -> str:
    if not value.isprintable():
        raise Refused(USAGE, "-F: a name has no control character")
    return value


def _sender(value: str) -> str:
    if value in ("", "<>"):
        return ""
    return _address(value.strip("<>"), USAGE)


#: What an option with a value sets; the others of sendmail's mean nothing here.
_READ: dict[str, tuple[str, Callable[[str], str]]] = {
    "f": ("sender", _sender),
    "r": ("sender", _sender),
    "F": ("name", _name),
    "N": ("notify", _notify),
    "R": ("ret", _ret),
    "V": ("envid", _envid),
    "B": ("", _body),
    "C": ("config", str),
}


def _address(text: str, code: int) -> str:
    """A canonical address; who has no domain is of this machine. Raises Refused."""
    whole = text if "@" in text else f"{text}@{socket.getfqdn()}"
    found = parse_mailbox(whole, smtputf8=True)
    if isinstance(found, BadAddress):
        raise Refused(code, f"{text!r} is no address: {found.why}")
    return found


def _read(octets: bytes, asked: Asked) -> bytes:
    """The message, up to a line with a dot alone unless -i was given, with CRLF line ends."""
    octets = with_crlf(octets)
    if asked.dots_end:
        at = 0 if octets.startswith(b".\r\n") else octets.find(b"\r\n.\r\n") + 2
        if at >= 2 or octets.startswith(b".\r\n"):
            octets = octets[:at]
    found = _FROM_LINE.match(octets)
    return octets[found.end() :] if found else octets


def outgoing(octets: bytes, asked: Asked) -> Outgoing:
    """The envelope and content that are asked for. Raises Refused."""
    if b"\0" in octets:
        raise Refused(DATAERR, "the message has a NUL")
    head, body = _sections(octets)
    header = message_from_bytes(head, policy=policy.compat32)
    given = list(asked.recipients)
    if asked.from_header:
        fields = [str(one) for name in ("To", "Cc", "Bcc") for one in header.get_all(name, [])]
        # Who is named on the command line besides -t gets it as well, as with Postfix.
        given += [address for _, address in getaddresses(fields) if address]
    # Also where the recipients are named: nobody is to read it, as with Postfix.
    head = _BLIND.sub(b"", head)
    recipients = tuple(dict.fromkeys(_address(one, NOUSER) for one in given))
    if not recipients:
        raise Refused(USAGE, "no recipient: name one, or give -t and a To, Cc or Bcc field")
    login = _login()
    sender = asked.sender if asked.sender is not None else _address(login, DATAERR)
    missing = ""
    if header["From"] is None:
        author = sender or _address(login, DATAERR)
        missing += f"From: {formataddr((asked.name, author)) if asked.name else author}\r\n"
    if header["Date"] is None:
        missing += f"Date: {formatdate(localtime=True)}\r\n"
    if header["Message-ID"] is None:
        missing += f"Message-ID: {make_msgid(domain=sender.rpartition('@')[2] or None)}\r\n"
    return Outgoing(
        sender,
        recipients,
        missing.encode() + head + body,
        notify=asked.notify,
        ret=asked.ret,
        envid=asked.envid,
    )


def _sections(octets: bytes) -> tuple[bytes, bytes]:
    """Header section and the rest; a message that begins with no field has none (Postfix too)."""
    if not re.match(rb"[!-9;-~]+[ \t]*:", octets):
        return b"", octets if octets.startswith(b"\r\n") else b"\r\n" + octets
    end = octets.find(b"\r\n\r\n")
    return (octets, b"") if end < 0 else (octets[: end + 2], octets[end + 2 :])


def _login() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "nobody"


def _told(code: int, why: str) -> int:
    sys.stderr.write(f"relay sendmail: {why}\n")
    return code


def program() -> NoReturn:
    """The console script `relay-sendmail`, for whoever calls a program without a first argument."""
    sys.exit(sendmail(Namespace(words=sys.argv[1:])))
