"""A client's words to a receiver, without a socket, and all that comes of them."""

from __future__ import annotations

from collections.abc import Mapping

from relay.identity.principal import NETWORK, WRONG, Principal
from relay.mail.events import Authenticate, Close, Event, Introduced, StartTls
from relay.mail.receiver import Receiver
from relay.mail.reply import Reply
from relay.mail.transaction import MessageReceived, ReceiverOptions, Rights

OPTIONS = ReceiverOptions("relay.example", message_size=10_000, recipients=3, errors=5, commands=9)


class Talk:
    """A receiver and all that came of it; each message is accepted as soon as it is received."""

    def __init__(
        self,
        *,
        options: ReceiverOptions = OPTIONS,
        rights: Rights | None = NETWORK,
        offer_tls: bool = False,
        clear_login: bool = False,
        xclient: bool = False,
        logins: Mapping[tuple[str, str], Principal] = {},
        networks: tuple[str, ...] = (),
    ) -> None:
        """`logins`: who has which name and password. `networks`: addresses that may submit."""
        self.logins = logins
        self.networks = networks
        self.tried: list[tuple[str, str]] = []
        self.spoken_for: list[str | None] = []
        self.refusals: list[Reply] = []
        self.receiver = Receiver(
            options,
            rights=rights,
            offer_tls=offer_tls,
            clear_login=clear_login,
            xclient=xclient,
            clock=lambda: 1_790_000_000.0,
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
        if isinstance(event, Authenticate):
            self.tried.append((event.login.name, event.login.password))
            found = self.logins.get(self.tried[-1])
            if found is None:
                return self.receiver.not_logged_in(WRONG.reply)
            return self.receiver.logged_in(found)
        if isinstance(event, Introduced):
            self.spoken_for.append(event.address)
            return self.receiver.introduced(NETWORK if event.address in self.networks else None)
        self.closed |= isinstance(event, Close)
        self.starts_tls |= isinstance(event, StartTls)
        return None

    @property
    def contents(self) -> list[bytes]:
        return [b"".join(message.chunks) for message in self.messages]
