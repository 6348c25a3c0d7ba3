"""A message's content made of its fields, or taken as it is; and its envelope.

Time, chance and the host's name are given. Everything is checked first and all problems are told
at once; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from relay.mail.address import BadAddress
from relay.mail.envelope import Envelope, Recipient
from relay.mail.fields import field, listed, name_fault, value_fault
from relay.mail.header import lets_tls_fail, section_end
from relay.mail.mailbox import Mailbox, mailbox_of, written
from relay.mail.message import Addresses, Message
from relay.mail.parts import attachment_fault, body
from relay.mail.raw import Raw, read_raw

MOST_HEADERS, MOST_TAGS, MOST_METADATA, MOST_ATTACHMENTS = 50, 10, 20, 100
LONGEST_TAG, LONGEST_VALUE, LONGEST_ENVID = 64, 512, 100
#: Octets of all header fields of a message together, as Postfix's header_size_limit.
MOST_HEADER_OCTETS = 100 << 10
_NOTIFY = {"success": "SUCCESS", "failure": "FAILURE", "delay": "DELAY", "never": "NEVER"}
_RET = {"": "", "full": "FULL", "headers": "HDRS"}
_TENANT = re.compile(r"[A-Za-z0-9_.:@-]{0,64}")
_NO_XCHAR = re.compile(r"[^!-*,-<>-~]")


class Problem(Struct, frozen=True):
    """What is wrong with a field: its path, such as `to[1]`, and the fault and remedy."""

    field: str
    detail: str


class Limits(Struct, frozen=True):
    """What one message may have."""

    recipients: int = 1000
    #: Octets of content.
    size: int = 50 << 20


class Composed(Struct, frozen=True):
    """A message that is ready to be accepted, but for a trace header."""

    envelope: Envelope
    content: bytes
    #: The address in From, in canonical form: who may be told to send only from some.
    author: str


class Maker(Struct, frozen=True):
    """What differs for each message made: its id, its date as a header field has it, its limits."""

    id: str
    date: str
    limits: Limits


def compose(message: Message, made: Maker) -> Composed | list[Problem]:
    """The message's envelope and content, or all that is wrong with it."""
    problems: list[Problem] = []
    names = _People(message, problems)
    check_options(message, problems)
    raw = _check_raw(message, problems) if message.raw else None
    if raw is None and not message.raw:
        _check_fields(message, names, problems)
    if problems:
        return problems
    recipients = names.recipients() or (raw.recipients if raw else [])
    author = raw.author if raw else names.author
    if fault := _envelope_fault(recipients, author, made.limits):
        return [fault]
    sender = _sender(message, names, author)
    if isinstance(sender, Problem):
        return [sender]
    head = b"" if raw else _head(message, names, made)
    if len(head) > MOST_HEADER_OCTETS:
        return [Problem("headers", f"more than {MOST_HEADER_OCTETS} octets in all header fields")]
    content = (
        raw.content(made.id, made.date)
        if raw
        else head + body(message.text, message.html, message.attachments, made.id)
    )
    if len(content) > made.limits.size:
        return [Problem("", f"the message has more than {made.limits.size} octets")]
    return Composed(_envelope(message, sender, recipients, content), content, author)


class _People:
    """The mailboxes of a message's address fields; what is no address is a problem."""

    def __init__(self, message: Message, problems: list[Problem]) -> None:
        self._problems = problems
        self.from_ = self._one("from", message.from_) if message.from_ else None
        self.to = self._all("to", message.to)
        self.cc = self._all("cc", message.cc)
        self.bcc = self._all("bcc", message.bcc)
        self.reply_to = self._all("reply_to", message.reply_to)

    @property
    def author(self) -> str:
        """The address in From."""
        return self.from_.address if self.from_ else ""

    def recipients(self) -> list[str]:
        """To, Cc and Bcc, each once."""
        if len(self.to) == 1 and not self.cc and not self.bcc:
            return [self.to[0].address]
        return list(dict.fromkeys(one.address for one in (*self.to, *self.cc, *self.bcc)))

    def _all(self, name: str, given: Addresses) -> list[Mailbox]:
        if isinstance(given, str):
            given = (given,) if given else ()
        many = len(given) > 1
        found = (
            self._one(f"{name}[{at}]" if many else name, text) for at, text in enumerate(given)
        )
        return [one for one in found if one is not None]

    def _one(self, name: str, text: str) -> Mailbox | None:
        found = mailbox_of(text)
        if isinstance(found, Mailbox):
            return found
        example = "write one address, as bob@example.net or Bob <bob@example.net>"
        self._problems.append(Problem(name, f"no address: {found.why}; {example}"))
        return None


def _check_fields(message: Message, names: _People, problems: list[Problem]) -> None:
    if not message.from_:
        problems.append(Problem("from", "is missing: who is the author?"))
    if not (message.text or message.html or message.attachments):
        problems.append(Problem("text", "is missing: give text, html, an attachment, or raw"))
    if not (message.to or message.cc or message.bcc):
        problems.append(Problem("to", "is missing: give at least one of to, cc and bcc"))
    if fault := value_fault("Subject", message.subject):
        problems.append(Problem("subject", fault))
    for name in ("text", "html"):
        text = getattr(message, name)
        if "\0" in text or _has_surrogate(text):
            problems.append(Problem(name, "has a NUL or half a surrogate pair"))
    _check_headers(message, problems)
    if len(message.attachments) > MOST_ATTACHMENTS:
        problems.append(Problem("attachments", f"are more than {MOST_ATTACHMENTS}"))
        return
    for at, attachment in enumerate(message.attachments):
        if wrong := attachment_fault(attachment):
            problems.append(Problem(f"attachments[{at}].{wrong[0]}", wrong[1]))


def _check_headers(message: Message, problems: list[Problem]) -> None:
    if len(message.headers) > MOST_HEADERS:
        problems.append(Problem("headers", f"are more than {MOST_HEADERS}"))
        return
    for name, value in message.headers.items():
        if fault := name_fault(name) or value_fault(name, value):
            problems.append(Problem(f"headers.{name}" if name.isprintable() else "headers", fault))
    if len({name.lower() for name in message.headers}) < len(message.headers):
        problems.append(Problem("headers", "have one name twice"))


def _check_raw(message: Message, problems: list[Problem]) -> Raw | None:
    for name in ("subject", "text", "html", "attachments", "headers", "reply_to", "substitutions"):
        if getattr(message, name):
            problems.append(Problem(name, "does not go with raw: it is in there, or nowhere"))
    raw = read_raw(message.raw)
    if isinstance(raw, str):
        problems.append(Problem("raw", raw))
        return None
    return raw


def check_options(message: Message, problems: list[Problem]) -> None:
    """All that is neither content nor an address: what is wrong with it goes into `problems`."""
    if not _TENANT.fullmatch(message.tenant):
        problems.append(Problem("tenant", "is no name of 64 letters, digits and _.:@- at most"))
    if not 1 <= message.weight <= 100:
        problems.append(Problem("weight", "is not from 1 to 100"))
    if message.notify and _notify(message) == "":
        problems.append(Problem("notify", "is none of success, failure, delay; or never, alone"))
    if message.ret not in _RET:
        problems.append(Problem("ret", "is neither full nor headers"))
    if message.envid and not _short(message.envid, LONGEST_ENVID, ascii_only=True):
        problems.append(Problem("envid", f"is not ASCII of {LONGEST_ENVID} characters at most"))
    if message.tags or message.metadata:
        _check_labels(message, problems)


def _check_labels(message: Message, problems: list[Problem]) -> None:
    if len(message.tags) > MOST_TAGS:
        problems.append(Problem("tags", f"are more than {MOST_TAGS}"))
    if not all(_short(tag, LONGEST_TAG) for tag in message.tags):
        problems.append(Problem("tags", f"are not printable, of {LONGEST_TAG} characters at most"))
    if len(message.metadata) > MOST_METADATA:
        problems.append(Problem("metadata", f"has more than {MOST_METADATA} names"))
    for name, value in message.metadata.items():
        if not (_short(name, LONGEST_TAG) and (_short(value, LONGEST_VALUE) or not value)):
            detail = f"has a name of more than {LONGEST_TAG} characters, a value of more than "
            problems.append(Problem("metadata", f"{detail}{LONGEST_VALUE}, or one not printable"))
            break


def _short(text: str, most: int, *, ascii_only: bool = False) -> bool:
    return 0 < len(text) <= most and text.isprintable() and (text.isascii() or not ascii_only)


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _notify(message: Message) -> str:
    """NOTIFY of RFC 3461 section 4.1, `""` where nothing good was asked."""
    words = [_NOTIFY.get(word.lower(), "") for word in message.notify]
    if not all(words) or ("NEVER" in words and len(words) > 1):
        return ""
    return ",".join(dict.fromkeys(words))


def _envelope_fault(recipients: Sequence[str], author: str, limits: Limits) -> Problem | None:
    if not recipients:
        return Problem("to", "names nobody, nor does the message: give at least one recipient")
    if len(recipients) > limits.recipients:
        return Problem("to", f"to, cc and bcc have more than {limits.recipients} recipients")
    return None if author else Problem("raw", "has no From field with one address (RFC 5322 3.6)")


def _sender(message: Message, names: _People, author: str) -> str | Problem:
    if message.envelope_sender is None:
        return names.author or author
    if not message.envelope_sender:
        return ""
    found = mailbox_of(message.envelope_sender)
    if isinstance(found, BadAddress) or found.name:
        return Problem("envelope_sender", "is no address of the form local@domain")
    return found.address


def _envelope(message: Message, sender: str, recipients: Iterable[str], content: bytes) -> Envelope:
    notify = _notify(message) if message.notify else ""
    found = tuple([Recipient(address, notify) for address in recipients])
    return Envelope(
        sender,
        found,
        eight_bit=not content.isascii(),
        smtputf8=not (sender.isascii() and all(one.address.isascii() for one in found))
        or _has_wide_header(content),
        ret=_RET[message.ret],
        envid=xtext(message.envid) if message.envid else "",
        require_tls=message.require_tls,
        tls_optional=not message.require_tls and lets_tls_fail(content[: section_end(content)]),
    )


def _has_wide_header(content: bytes) -> bool:
    """Whether a header field is not ASCII, which only SMTPUTF8 lets pass (RFC 6532)."""
    return not content.isascii() and not content[: content.find(b"\r\n\r\n") + 1].isascii()


def xtext(text: str) -> str:
    """As RFC 3461 section 4 has it."""
    return _NO_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", text)


def _head(message: Message, names: _People, made: Maker) -> bytes:
    assert names.from_ is not None  # noqa: S101 - checked among the fields
    own = {name.lower() for name in message.headers}
    lines = [listed("From", [written(names.from_)])]
    for name, people in (("Reply-To", names.reply_to), ("To", names.to), ("Cc", names.cc)):
        if people:
            lines.append(listed(name, [written(one) for one in people]))
    if not (names.to or names.cc):
        lines.append("To: undisclosed-recipients:;\r\n")
    lines.append(field("Subject", message.subject))
    lines.append(f"Date: {made.date}\r\n")
    if "message-id" not in own:
        lines.append(f"Message-ID: <{made.id}@{names.from_.domain.strip('[]')}>\r\n")
    lines += [field(name, value) for name, value in message.headers.items()]
    return "".join(lines).encode()
