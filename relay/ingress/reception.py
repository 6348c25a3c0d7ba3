"""What all SMTP sessions of a process share: options, the submitter, limits, and who is told."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from relay.identity import Principal, Refusal
from relay.ingress.access import Gate, Limits, Memory, is_allowed
from relay.ingress.door import Door
from relay.mail import answers
from relay.mail.reply import Reply
from relay.mail.transaction import ReceiverOptions, RecipientCheck
from relay.submission import Accepted, Submission

if TYPE_CHECKING:
    from relay.ingress.connection import Connection


class ReceptionOptions(Struct, frozen=True):
    """Limits of the SMTP server; times in seconds."""

    receiver: ReceiverOptions
    #: Silence after which a session is ended.
    idle: float = 300.0
    #: Time for the content of one message to come in.
    message_time: float = 600.0
    #: Octets a second that content must come in at on average, once `rate_grace` is over.
    least_rate: int = 500
    rate_grace: float = 30.0
    #: Time for a TLS handshake.
    handshake: float = 30.0
    #: What clients may take up of the process.
    clients: Limits = Limits()
    #: Octets of content on their way in, all sessions of the process together.
    memory: int = 256 << 20
    #: The header field that carries an idempotency key and is taken out; "": none is looked for.
    key_field: str = ""
    #: Octets that a client may pipeline behind a message before it is no longer read from.
    pipelined: int = 64 << 10


class Submitter(Protocol):
    """What reception asks of `relay.submission.Submitter`."""

    def new_id(self, tenant: str = "", idempotency_key: str = "") -> str:
        """An id for a message to come, which may have a key."""

    def submit(self, submission: Submission, /) -> asyncio.Future[Accepted]:
        """Accept a message: durable when the future resolves."""


class Logins(Protocol):
    """What reception asks of `relay.identity.Identity`."""

    async def password(self, login: str, password: str, address: str) -> Principal | Refusal:
        """Who logs in, or why it is nobody."""

    def spend(self, principal: Principal, recipients: int) -> asyncio.Future[Refusal | None]:
        """Count a message with so many recipients; None where it may go on."""


class ReceptionMetrics(Protocol):
    """Who is told what reception does; all are called on the loop and must not block."""

    def opened(self) -> None:
        """A session began."""

    def closed(self) -> None:
        """A session ended."""

    def turned_away(self, reply: Reply, client: str) -> None:
        """A connection from that address got this reply for a greeting."""

    def secured(self, version: str) -> None:
        """A TLS handshake was done; `version` is such as `TLSv1.3`, `""` where it failed."""

    def accepted(self, submission: Submission, size: int, seconds: float) -> None:
        """A message of `size` octets is durable; admitting it took that long."""

    def refused(self, reply: Reply, client: str) -> None:
        """Something was refused: a command, a recipient, a message or the rest of a session.

        Code and enhanced status together are a bounded set, the text is not.
        """


class NoMetrics:
    """Nobody is told."""

    def opened(self) -> None: ...

    def closed(self) -> None: ...

    def turned_away(self, reply: Reply, client: str) -> None: ...

    def secured(self, version: str) -> None: ...

    def accepted(self, submission: Submission, size: int, seconds: float) -> None: ...

    def refused(self, reply: Reply, client: str) -> None: ...


class Reception:
    """One for each server; `connections` holds its open sessions."""

    def __init__(
        self,
        submitter: Submitter,
        options: ReceptionOptions,
        *,
        door: Door,
        tls: ssl.SSLContext | None,
        logins: Logins | None,
        metrics: ReceptionMetrics,
        check: RecipientCheck | None,
    ) -> None:
        self.submitter = submitter
        self.options = options
        #: Of listeners that have none of their own.
        self.door = door
        #: Replaced when the certificate is: sessions that are open keep theirs.
        self.tls = tls
        self.logins = logins
        self.metrics = metrics
        self.check = check
        self._loop = asyncio.get_running_loop()
        self._gate = Gate(options.clients)
        self.memory = Memory(options.memory)
        self.connections: set[Connection] = set()
        #: Connections of load balancers that have not said whom they speak for, oldest first.
        self.unnamed: dict[Connection, None] = {}
        #: Handshakes under way; the loop itself holds tasks but weakly.
        self.handshakes: set[asyncio.Task[None]] = set()
        #: Logins under way.
        self.checks: set[asyncio.Task[Principal | Refusal]] = set()
        #: Sessions end as soon as they can, and `empty` is set when none is left.
        self.stopping = False
        self.empty = asyncio.Event()

    def enter(self, address: str, door: Door) -> Reply | None:
        """None where a client may be greeted, else why not; who was let in must `leave`."""
        if self.stopping:
            return answers.SHUTTING_DOWN
        # Who may log in is no stranger before it is known who it is.
        stranger = not (door.receiver.auth or is_allowed(address, door.networks))
        return self._gate.enter(address, self._loop.time(), stranger=stranger)

    def move(self, before: str, after: str, door: Door) -> Reply | None:
        """A session turns out to be with another client; a reply where that one may not enter."""
        self._gate.leave(before)
        refusal = self.enter(after, door)
        if refusal is not None:
            # So that every session that was counted leaves once.
            self._gate.add(before)
        return refusal

    def refused(self, reply: Reply, address: str) -> None:
        """Something that the client said was refused."""
        if reply.permanent:
            self._gate.erred(address, self._loop.time())
        self.metrics.refused(reply, address)

    def sent(self, address: str) -> None:
        """The client sent a whole message."""
        if self._gate.paced:
            self._gate.sent(address, self._loop.time())

    def check_recipient(self, address: str, sender: str, recipient: str) -> Reply | None:
        """None where the client may send to that recipient now, else why not."""
        if self._gate.paced:
            refusal = self._gate.may_send(address, self._loop.time())
            if refusal is not None:
                return refusal
        return self.check(sender, recipient) if self.check is not None else None

    def leave(self, connection: Connection, address: str) -> None:
        """The session is over."""
        self._gate.leave(address)
        self.connections.discard(connection)
        self.metrics.closed()
        if not self.connections:
            self.empty.set()
