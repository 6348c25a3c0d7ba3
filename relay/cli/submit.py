"""Submitting one message over SMTP to a running `relay smtp`, as any client would."""

from __future__ import annotations

import re
import smtplib
import time
from collections.abc import Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import formatdate, getaddresses, make_msgid

from msgspec import Struct

from relay.config.values import split_endpoint
from relay.errors import SubmissionRefused
from relay.mail.reply import Reply, reply_of

_LINE_END = re.compile(rb"\r\n|\r|\n")
_QUEUED = re.compile(r"queued as ([0-9a-z]+)")
#: Seconds to wait for each reply; the last one comes when the message is durable.
_TIMEOUT = 60
#: What a client connects to where the server listens on every address.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


class Outgoing(Struct, frozen=True):
    """A message to submit: its envelope, and its content in lines that end in CRLF."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    #: NOTIFY for each recipient, RET and ENVID (RFC 3461), encoded as they are sent; "": not given.
    notify: str = ""
    ret: str = ""
    envid: str = ""


class Submitted(Struct, frozen=True):
    """An accepted message: the id that `relay show` takes, and the reply that accepted it."""

    id: str
    reply: str
    #: From the connection to the last reply.
    took_ms: float


def from_file(content: bytes, sender: str | None = None, to: Sequence[str] = ()) -> Outgoing:
    """A message as it lies in a file; who is not named is taken from its header section.

    A Bcc field names recipients and is then taken out. Raises ValueError without a recipient.
    """
    header = message_from_bytes(content, policy=policy.compat32)
    if sender is None:
        sender = next(iter(_addresses(header.get_all("From", []))), "")
    fields = [field for name in ("To", "Cc", "Bcc") for field in header.get_all(name, [])]
    recipients = tuple(to) or tuple(dict.fromkeys(_addresses(fields)))
    if not recipients:
        raise ValueError("the message has no recipient: name one by --to")
    if header["Bcc"] is not None:
        del header["Bcc"]
        content = header.as_bytes()
    return Outgoing(sender, recipients, _LINE_END.sub(b"\r\n", content))


def composed(sender: str, to: Sequence[str], subject: str, text: str) -> Outgoing:
    """A plain message made of its parts."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or "localhost")
    message.set_content(text)
    return Outgoing(sender, tuple(to), message.as_bytes())


def submit(server: str, message: Outgoing) -> Submitted:
    """Hand the message to the server at host:port.

    Raises SubmissionRefused with the reply that refused it or any of its recipients, and
    ConnectionError where nobody answers.
    """
    host, port = split_endpoint(server)
    began = time.perf_counter()
    try:
        with smtplib.SMTP(_LOOPBACK.get(host, host), port, timeout=_TIMEOUT) as client:
            reply = _transaction(client, message)
    except smtplib.SMTPResponseException as error:
        raise SubmissionRefused(_reply(error.smtp_code, error.smtp_error)) from None
    except (OSError, smtplib.SMTPException) as error:
        raise ConnectionError(f"no SMTP server at {server}: {error}") from None
    found = _QUEUED.search(reply.text)
    took = (time.perf_counter() - began) * 1000
    return Submitted(found[1] if found else "", str(reply), round(took, 1))


def _transaction(client: smtplib.SMTP, message: Outgoing) -> Reply:
    client.ehlo_or_helo_if_needed()
    options = []
    if not message.content.isascii() and client.has_extn("8bitmime"):
        options.append("BODY=8BITMIME")
    if not all(address.isascii() for address in (message.sender, *message.recipients)):
        options.append("SMTPUTF8")
        client.command_encoding = "utf-8"
    about = []
    if client.has_extn("dsn"):
        options += [f"RET={message.ret}"] if message.ret else []
        options += [f"ENVID={message.envid}"] if message.envid else []
        about = [f"NOTIFY={message.notify}"] if message.notify else []
    _positive(*client.mail(message.sender, options))
    for recipient in message.recipients:
        _positive(*client.rcpt(recipient, about))
    return _positive(*client.data(message.content))


def _positive(code: int, text: bytes) -> Reply:
    reply = _reply(code, text)
    if not reply.positive:
        raise SubmissionRefused(reply)
    return reply


def _reply(code: int, text: bytes | str) -> Reply:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return reply_of(code, " ".join(shown.split("\n")))


def _addresses(fields: Sequence[object]) -> list[str]:
    return [address for _, address in getaddresses([str(field) for field in fields]) if address]
