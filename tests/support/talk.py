"""A client's words to a receiver, without a socket, and all that comes of them."""

from __future__ import annotations

from relay.mail.receiver import Close, Event, Receiver, StartTls
from relay.mail.reply import Reply
from relay.mail.transaction import MessageReceived, ReceiverOptions

OPTIONS = ReceiverOptions("relay.example", message_size=10_000, recipients=3, errors=5, commands=9)


class Talk:
    """A receiver and all that came of it; each message is accepted as soon as it is received."""

    def __init__(self, *, may_relay: bool = True, offer_tls: bool = False) -> None:
        self.refusals: list[Reply] = []
        self.receiver = Receiver(
            OPTIONS,
            may_relay=may_relay,
            offer_tls=offer_tls,
            check=lambda sender, recipient: (
                Reply(550, "5.1.1", "No such user") if recipient.startswith("nobody@") else None
            ),
            on_refusal=self.refusals.append,
        )
        self.output = b""
        self.messages: list[MessageReceived] = []
        self.closed = self.starts_tls = False

    def say(self, octets: bytes) -> list[str]:
        """The first line of each reply that these octets brought, without its text."""
        before = len(self.output)
        event = self.receiver.receive(octets)
        while event is not None:
            self.output += self.receiver.output()
            event = self._handle(event)
        self.output += self.receiver.output()
        lines = self.output[before:].decode().splitlines()
        return [" ".join(line.split(" ")[:2]) for line in lines if line[3] == " "]

    def _handle(self, event: Event) -> Event | None:
        if isinstance(event, MessageReceived):
            self.messages.append(event)
            return self.receiver.accepted(f"id{len(self.messages)}")
        self.closed |= isinstance(event, Close)
        self.starts_tls |= isinstance(event, StartTls)
        return None

    @property
    def contents(self) -> list[bytes]:
        return [b"".join(message.chunks) for message in self.messages]
