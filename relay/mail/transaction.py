"""The transaction: what MAIL, RCPT and DATA gather until it is a message (RFC 5321 section 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from relay.mail import answers
from relay.mail import command as commands
from relay.mail.address import is_literal
from relay.mail.content import ChunkReader, ContentReader
from relay.mail.envelope import Envelope, Recipient
from relay.mail.extensions import Extension
from relay.mail.header import authors, fields, lets_tls_fail, section_end
from relay.mail.reply import Reply
from relay.mail.trace import received_fields
from relay.mail.wishes import NO_WISHES, Wishes

#: Asked for each recipient, with the sender: None, or the reply that refuses it.
RecipientCheck = Callable[[str, str], Reply | None]


class Rights(Protocol):
    """What a client may send as: `relay.identity.Principal`."""

    @property
    def anybody(self) -> bool:
        """It may send as anybody, so that nothing need be looked at."""

    def may_send_as(self, address: str) -> bool:
        """Whether the address may be MAIL FROM, or in From."""


class ReceiverOptions(Struct, frozen=True):
    """What a client may do before it is refused or cut off."""

    #: The name in the greeting and in the trace header.
    hostname: str
    #: Octets of one message, and of its header section: 552 beyond.
    message_size: int = 50 << 20
    header_size: int = 128 << 10
    #: Recipients of one message: 452 beyond.
    recipients: int = 1000
    #: Refused commands since the last accepted message: 421 beyond.
    errors: int = 20
    #: Failed logins of one session: 421 beyond.
    logins: int = 3
    #: Commands since the last accepted message, besides as many as `recipients`: 421 beyond.
    commands: int = 1000
    #: Received header fields of a message that is not yet a loop: 554 beyond.
    hops: int = 50
    #: Whether recipients at address literals are taken.
    address_literals: bool = False
    #: What is announced, besides what always is; REQUIRETLS inside TLS alone.
    extensions: frozenset[Extension] = frozenset()
    #: Whether AUTH is offered, inside TLS; who may not send otherwise is told to log in.
    auth: bool = False
    #: Seconds that a message may be held at most (FUTURERELEASE).
    longest_hold: int = 7 * 86400
    #: Seconds after which a message expires, from when it is sent first.
    longest_age: int = 5 * 86400
    #: Seconds that a message must be given at least (DELIVERBY).
    least_time: int = 60
    #: The header section must be well-formed, for it is to be fixed (RFC 6409 section 8).
    fixes: bool = False


class MessageReceived(Struct, frozen=True):
    """A whole message: the caller admits it, then says `accepted` or `refused`."""

    envelope: Envelope
    chunks: tuple[bytes, ...]
    size: int
    wishes: Wishes = NO_WISHES


class Transaction:
    """One client's transactions, one after the other; each method says None or why not.

    `rights`: what the client may send as; without any every recipient is refused. `clock`: Unix
    time, asked where a message is to be held until then.
    """

    __slots__ = (
        "_check",
        "_clock",
        "_mail",
        "_options",
        "_reader",
        "_recipients",
        "put_off",
        "rights",
        "secure",
    )

    def __init__(
        self,
        options: ReceiverOptions,
        *,
        rights: Rights | None,
        check: RecipientCheck | None,
        clock: Callable[[], float],
    ) -> None:
        self._options = options
        self._clock = clock
        self.rights = rights
        #: Inside TLS.
        self.secure = False
        self._check = check
        self.forget()

    @property
    def kept(self) -> int:
        """Octets of content kept in memory."""
        return self._reader.kept

    @property
    def size(self) -> int:
        """Octets of content that have come in, kept or not."""
        return self._reader.size

    def forget(self) -> None:
        """There is no transaction any more."""
        self._mail = _NO_MAIL
        self._recipients: dict[str, Recipient] = {}
        self._reader = _NO_CONTENT
        #: A recipient was refused for now: a client that hears only of DATA must not give up.
        self.put_off = False

    def begin(self, mail: commands.Mail) -> Reply | None:
        """MAIL: a sender, and perhaps what is coming."""
        rights = self.rights
        if rights is None and self._options.auth:
            return answers.LOG_IN_FIRST
        if mail.wishes is not NO_WISHES:
            refusal = self._unfit(mail.wishes)
            if refusal is not None:
                return refusal
        if rights is not None and not (rights.anybody or rights.may_send_as(mail.sender)):
            return answers.NOT_YOUR_SENDER
        self._mail = mail
        return None

    def _unfit(self, wishes: Wishes) -> Reply | None:
        options = self._options
        if wishes.size > options.message_size:
            return answers.TOO_LARGE
        if not wishes.needs <= options.extensions or (wishes.auth and not options.auth):
            return answers.NO_SUCH_PARAMETER
        if wishes.require_tls and not self.secure:
            return answers.NEEDS_TLS
        held = wishes.hold_until and wishes.hold_until - self._clock()
        if max(wishes.hold_for, held) > options.longest_hold:
            return answers.TOO_FAR_AHEAD
        if wishes.by is not None and wishes.by.returned and wishes.by.seconds < options.least_time:
            return answers.TOO_SOON
        return None

    def add(self, rcpt: commands.Rcpt) -> Reply | None:
        """RCPT: one recipient more; one that is said twice is still sent to once."""
        if self.rights is None:
            return answers.NO_RELAYING
        options = self._options
        if rcpt.wide and not self._mail.wishes.smtputf8:
            return answers.NOT_ASCII
        if (rcpt.notify or rcpt.orcpt) and Extension.DSN not in options.extensions:
            return answers.NO_SUCH_PARAMETER
        address = rcpt.address
        if "@" not in address:
            address = f"{address}@{options.hostname.lower()}"
        elif is_literal(address) and not options.address_literals:
            return answers.NO_LITERALS
        return None if address in self._recipients else self._add(address, rcpt)

    def _add(self, address: str, rcpt: commands.Rcpt) -> Reply | None:
        if len(self._recipients) >= self._options.recipients:
            return answers.TOO_MANY_RECIPIENTS
        refusal = self._check(self._mail.sender, address) if self._check is not None else None
        if refusal is None:
            self._recipients[address] = Recipient(address, rcpt.notify, rcpt.orcpt)
        elif not refusal.permanent:
            self.put_off = True
        return refusal

    def start_content(self) -> Reply | None:
        """DATA: what follows is content."""
        if self._mail.wishes.binary:
            return answers.NO_BINARY_DATA
        self._reader = ContentReader(self._options.message_size)
        return None

    def feed(self, octets: bytes, start: int) -> int:
        """See `ContentReader.feed`."""
        return self._reader.feed(octets, start)

    def feed_chunk(self, octets: bytes) -> None:
        """Octets of BDAT; the first ones begin the content."""
        if not isinstance(self._reader, ChunkReader):
            size, binary = self._options.message_size, self._mail.wishes.binary
            self._reader = ChunkReader(size, binary=binary)
        self._reader.feed_chunk(octets)

    def drop_content(self) -> None:
        """Keep nothing of the content that is coming in: it ends in 452."""
        self._reader.drop()

    def finish(self) -> MessageReceived | Reply:
        """The final dot: the message, or why its content is not taken. Ends the transaction."""
        reader, mail, recipients = self._reader, self._mail, self._recipients
        self.forget()
        binary = False
        if isinstance(reader, ChunkReader):
            reader.end()
            binary = mail.wishes.binary and not reader.lines
        refusal = reader.refusal()
        if refusal is not None:
            return refusal
        chunks = reader.chunks()
        head = chunks[0] if chunks else b""
        section = head[: section_end(head)]
        refusal = self._judge(section)
        if refusal is not None:
            return refusal
        envelope = self._envelope(mail, tuple(recipients.values()), section, binary)
        return MessageReceived(envelope, chunks, reader.size, mail.wishes)

    def _judge(self, section: bytes) -> Reply | None:
        """What stands against the header section."""
        options, rights = self._options, self.rights
        if len(section) > options.header_size:
            return answers.HEADER_TOO_LARGE
        if received_fields(section) > options.hops:
            return answers.LOOP
        if rights is None or rights.anybody:
            malformed = options.fixes and fields(section) is None
            return answers.BAD_HEADER if malformed else None
        if fields(section) is None:
            return answers.BAD_HEADER
        named = authors(section)
        if named is None:
            return answers.BAD_FROM
        return None if all(map(rights.may_send_as, named)) else answers.NOT_YOUR_FROM

    def _envelope(
        self, mail: commands.Mail, recipients: tuple[Recipient, ...], section: bytes, binary: bool
    ) -> Envelope:
        wishes = mail.wishes
        if wishes is NO_WISHES:
            return Envelope(mail.sender, recipients, tls_optional=lets_tls_fail(section))
        addresses = (mail.sender, *(recipient.address for recipient in recipients))
        ascii_only = section.isascii() and all(map(str.isascii, addresses))
        return Envelope(
            mail.sender,
            recipients,
            eight_bit=wishes.eight_bit or (wishes.binary and not binary),
            # What could go to a host that does not know SMTPUTF8 is not kept from it.
            smtputf8=wishes.smtputf8 and not ascii_only,
            ret=wishes.ret,
            envid=wishes.envid,
            binary=binary,
            require_tls=wishes.require_tls,
            mt_priority=wishes.priority,
            tls_optional=not wishes.require_tls and lets_tls_fail(section),
        )


_NO_MAIL = commands.Mail("")
_NO_CONTENT = ContentReader(0)
