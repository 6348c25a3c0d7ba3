"""The transaction: what MAIL, RCPT and DATA gather until it is a message (RFC 5321 section 3.3)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from relay.mail import answers
from relay.mail import command as commands
from relay.mail.address import is_literal
from relay.mail.content import ContentReader
from relay.mail.envelope import Envelope, Recipient
from relay.mail.reply import Reply
from relay.mail.trace import hops

#: Asked for each recipient, with the sender: None, or the reply that refuses it.
RecipientCheck = Callable[[str, str], Reply | None]


class ReceiverOptions(Struct, frozen=True):
    """What a client may do before it is refused or cut off."""

    #: The name in the greeting and in the trace header.
    hostname: str
    #: Octets of one message: 552 beyond.
    message_size: int = 50 << 20
    #: Recipients of one message: 452 beyond.
    recipients: int = 1000
    #: Refused commands since the last accepted message: 421 beyond.
    errors: int = 20
    #: Commands since the last accepted message, besides as many as `recipients`: 421 beyond.
    commands: int = 1000
    #: Received header fields of a message that is not yet a loop: 554 beyond.
    hops: int = 50
    #: Whether recipients at address literals are taken.
    address_literals: bool = False


class MessageReceived(Struct, frozen=True):
    """A whole message: the caller admits it, then says `accepted` or `refused`."""

    envelope: Envelope
    chunks: tuple[bytes, ...]
    size: int


class Transaction:
    """One client's transactions, one after the other; each method says None or why not.

    `may_relay`: the client may submit messages; without it every recipient is refused.
    """

    __slots__ = ("_check", "_mail", "_may_relay", "_options", "_reader", "_recipients", "put_off")

    def __init__(
        self, options: ReceiverOptions, *, may_relay: bool, check: RecipientCheck | None
    ) -> None:
        self._options = options
        self._may_relay = may_relay
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
        if mail.size > self._options.message_size:
            return answers.TOO_LARGE
        self._mail = mail
        return None

    def add(self, address: str) -> Reply | None:
        """RCPT: one recipient more; one that is said twice is still sent to once."""
        if not self._may_relay:
            return answers.NO_RELAYING
        if "@" not in address:
            address = f"{address}@{self._options.hostname.lower()}"
        elif is_literal(address) and not self._options.address_literals:
            return answers.NO_LITERALS
        if address in self._recipients:
            return None
        if len(self._recipients) >= self._options.recipients:
            return answers.TOO_MANY_RECIPIENTS
        refusal = self._check(self._mail.sender, address) if self._check is not None else None
        if refusal is None:
            self._recipients[address] = Recipient(address)
        elif not refusal.permanent:
            self.put_off = True
        return refusal

    def start_content(self) -> None:
        """DATA: what follows is content."""
        self._reader = ContentReader(self._options.message_size)

    def feed(self, octets: bytes, start: int) -> int:
        """See `ContentReader.feed`."""
        return self._reader.feed(octets, start)

    def drop_content(self) -> None:
        """Keep nothing of the content that is coming in: it ends in 452."""
        self._reader.drop()

    def finish(self) -> MessageReceived | Reply:
        """The final dot: the message, or why its content is not taken. Ends the transaction."""
        reader, mail, recipients = self._reader, self._mail, self._recipients
        self.forget()
        refusal = reader.refusal()
        if refusal is not None:
            return refusal
        chunks = reader.chunks()
        if chunks and hops(chunks[0]) > self._options.hops:
            return answers.LOOP
        envelope = Envelope(mail.sender, tuple(recipients.values()), mail.eight_bit)
        return MessageReceived(envelope, chunks, reader.size)


_NO_MAIL = commands.Mail("")
_NO_CONTENT = ContentReader(0)
