"""A connection: one client's socket, with a receiver behind it and the submitter behind that."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import cast

from relay.identity import Principal, Refusal
from relay.identity.principal import NETWORK, missing
from relay.ingress.access import client_address, is_allowed
from relay.ingress.door import Door
from relay.ingress.handover import Handover
from relay.ingress.handshake import shake_hands
from relay.ingress.reception import Reception
from relay.mail import answers
from relay.mail.events import Authenticate, Close, Event, Introduced
from relay.mail.login import Login
from relay.mail.proxy import NotProxied, parse_proxy
from relay.mail.receiver import Receiver
from relay.mail.reply import Reply
from relay.mail.sequence import State
from relay.mail.transaction import MessageReceived

_log = logging.getLogger(__name__)

# As in relay.mail.stream: found once, not with every line.
_CONTENT, _CHUNKS = State.CONTENT, State.CHUNKS
_CHECKING, _HANDSHAKE = State.CHECKING, State.HANDSHAKE

#: Seconds that a client has to take its last replies before the connection is cut.
LINGER = 10.0
#: Seconds that a load balancer has to say whom it speaks for.
HEADER_TIME = 10.0


class Connection(Handover):
    """Runs on callbacks alone: no task and no timer of its own, for neither message nor session.

    A client that goes away while its message is being admitted changes nothing: it stays accepted.
    """

    _transport: asyncio.Transport

    def __init__(self, reception: Reception, door: Door) -> None:
        super().__init__(reception)
        self._door = door
        #: Counted, and not yet lost.
        self._open = False
        #: What a load balancer has said so far; None where it need not or is done.
        self._header: bytes | None = None
        #: When closing began (0: it did not).
        self._closing_since = 0.0
        #: What came inside TLS while the session was not yet told of it.
        self._early = b""
        #: A TLS handshake has begun.
        self._shaking = False
        #: The client takes no replies; it is not read from; it sent all that it will send.
        self._replies_stuck = self._paused = self._at_end = False

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected: it is greeted, or turned away."""
        # uvloop's transports are asyncio's in all but ancestry.
        self._transport = cast(asyncio.Transport, transport)
        self._peer = client_address(transport.get_extra_info("peername"))
        self._active = self._loop.time()
        if is_allowed(self._peer, self._door.proxies):
            self._header = b""
            self._reception.unnamed[self] = None
        else:
            self._meet(self._peer)

    def _meet(self, address: str) -> None:
        """It is known who the client is: count it, and greet it, after the handshake if need be."""
        reception, door = self._reception, self._door
        refusal = reception.enter(address, door)
        if refusal is not None:
            reception.metrics.turned_away(refusal, address)
            if not door.implicit_tls:
                self._transport.write(refusal.wire())
            self._transport.close()
            return
        self._open = True
        self._address = address
        self._receiver = Receiver(
            door.receiver,
            rights=self._by_network(),
            offer_tls=reception.tls is not None,
            clear_login=is_allowed(address, door.clear_logins),
            xclient=is_allowed(self._peer, door.xclients),
            check=self._check,
            on_refusal=self._refused,
            clock=time.time,
        )
        reception.connections.add(self)
        reception.metrics.opened()
        if door.implicit_tls:
            self._receiver.await_handshake()
        else:
            self._transport.write(self._receiver.greeting())

    def _by_network(self) -> Principal | None:
        """Who the client is by its address alone."""
        allowed = is_allowed(self._address, self._door.networks)
        self._principal = NETWORK if allowed else None
        return self._principal

    def _read_header(self, data: bytes) -> None:
        """Take the PROXY header, which is read before anything else is said or heard."""
        self._header = (self._header or b"") + data
        try:
            found = parse_proxy(self._header)
        except NotProxied:
            _log.warning("a proxy sent no PROXY header: %s", self._peer)
            self._transport.abort()
            return
        if found is None:
            return
        rest, self._header = self._header[found.length :], None
        self._reception.unnamed.pop(self, None)
        self._meet(found.address)
        if rest and self._open:
            self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        if self._header is not None:
            self._read_header(data)
            return
        if not self._open:
            return
        receiver = self._receiver
        if receiver.state is _HANDSHAKE:
            if self._shaking:
                self._keep_early(data)
            else:
                self._begin_tls(data)
            return
        lines = receiver.lines
        event = receiver.receive(data)
        if receiver.lines != lines or receiver.state is _CONTENT:
            self._active = self._loop.time()
        self._go_on(event)

    def eof_received(self) -> bool:
        """The client sends no more; it still gets the answer to what is being admitted."""
        self._at_end = True
        if not self._open:
            return False
        return self._waiting and not self._receiver.secure

    def pause_writing(self) -> None:
        """The client does not take its replies, so it must not cause any more."""
        self._replies_stuck = True
        self._set_reading()

    def resume_writing(self) -> None:
        """The client took its replies."""
        self._replies_stuck = False
        self._set_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; what is being admitted goes on."""
        self._reception.unnamed.pop(self, None)
        if not self._open:
            return
        self._open = False
        self._receiver.hang_up()
        if self._admitting is None:
            self._hold(0)
        self._reception.leave(self, self._address)

    # What the server calls.

    def check(self, now: float) -> None:
        """End the session if the client has been silent or slow for too long."""
        state = self._receiver.state
        if self._closing_since:
            if now - self._closing_since > LINGER:
                self._transport.abort()
        elif state is State.HANDSHAKE:
            if not self._shaking and now - self._active > self._reception.options.handshake:
                self.abort()
        elif self._waiting:
            return
        elif self._receiver.content_open and self._is_slow(now):
            self.end(answers.TOO_SLOW)
        elif now - self._active > self._reception.options.idle:
            self.end(answers.IDLE)

    def end_if_quiet(self) -> None:
        """End the session unless a transaction or a handshake is under way."""
        if self._receiver.quiet and not self._waiting:
            self.end(answers.SHUTTING_DOWN)

    def end(self, reply: Reply) -> None:
        """End the session with this reply; within a handshake there is no way to say it."""
        if self._receiver.state is State.HANDSHAKE:
            self.abort()
        elif not self._closing_since:
            self._go_on(self._receiver.end(reply))

    def abort(self) -> None:
        """Cut the connection now."""
        self._transport.abort()

    def check_header(self, now: float) -> None:
        """Cut the connection of a proxy that does not say for whom."""
        if now - self._active > HEADER_TIME:
            self._transport.abort()

    # What these share.

    def _refused(self, reply: Reply) -> None:
        self._reception.refused(reply, self._address)

    def _check(self, sender: str, recipient: str) -> Reply | None:
        return self._reception.check_recipient(self._address, sender, recipient)

    @property
    def _waiting(self) -> bool:
        """A message or a login is being looked at, and nothing else is done meanwhile."""
        return self._admitting is not None or self._receiver.state is _CHECKING

    def _go_on(self, event: Event | None) -> None:
        """Do what came up, then write all replies at once."""
        while event is not None and isinstance(event, MessageReceived):
            event = self._submit(event)
        out = self._receiver.output()
        if out and self._open:
            self._transport.write(out)
        if event is None:
            self._await_more()
        elif isinstance(event, Close):
            self._close()
        elif isinstance(event, Authenticate):
            self._log_in(event.login)
        elif isinstance(event, Introduced):
            self._go_on(self._introduce(event))
        else:
            self._begin_tls()

    def _await_more(self) -> None:
        state = self._receiver.state
        if self._admitting is not None or state is _CHECKING:
            self._set_reading()
            return
        # Nearly every command ends here with nothing to do, so only what changed is looked at.
        if self._content_since or state is _CONTENT or state is _CHUNKS:
            self._account_for_content()
        if self._at_end:
            self._close()
        elif self._reception.stopping:
            self.end_if_quiet()
        if self._paused:
            self._set_reading()

    def _close(self) -> None:
        if self._admitting is None:
            self._hold(0)
        if self._open and not self._closing_since:
            self._closing_since = self._loop.time()
            self._transport.close()

    def _set_reading(self) -> None:
        if not self._open or self._closing_since or self._at_end:
            return
        stuck = self._waiting and self._receiver.pending > self._reception.options.pipelined
        paused = stuck or self._replies_stuck
        if paused == self._paused:
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _account_for_content(self) -> None:
        receiver = self._receiver
        if not receiver.content_open:
            self._content_since = 0.0
            self._hold(0)
            return
        self._content_since = self._content_since or self._active
        self._hold(receiver.kept)
        if self._reception.memory.full:
            receiver.drop_content()
            self._hold(0)

    def _is_slow(self, now: float) -> bool:
        options, took = self._reception.options, now - self._content_since
        if took > options.message_time:
            return True
        least = options.least_rate * took
        return took > options.rate_grace and self._receiver.content_size < least

    # Who it is.

    def _introduce(self, event: Introduced) -> Event | None:
        """The client speaks for another one (XCLIENT): that one is counted, and its rights hold."""
        reception = self._reception
        if event.address is not None and event.address != self._address:
            refusal = reception.move(self._address, event.address, self._door)
            if refusal is not None:
                return self._receiver.end(refusal)
            self._address = event.address
        return self._receiver.introduced(self._by_network())

    def _log_in(self, login: Login) -> None:
        logins = self._reception.logins
        if logins is None:
            self._go_on(self._receiver.not_logged_in(answers.LOGIN_UNAVAILABLE))
            return
        check = self._loop.create_task(logins.password(login.name, login.password, self._address))
        self._reception.checks.add(check)
        check.add_done_callback(self._known)
        self._set_reading()

    def _known(self, check: asyncio.Task[Principal | Refusal]) -> None:
        """It is known who logs in, or that it is nobody."""
        self._reception.checks.discard(check)
        failure = asyncio.CancelledError() if check.cancelled() else check.exception()
        if not self._open or self._receiver.state is not State.CHECKING:
            return
        self._active = self._loop.time()
        if failure is not None:
            _log.error("a login could not be checked", exc_info=failure)
            self._go_on(self._receiver.not_logged_in(answers.LOGIN_UNAVAILABLE))
            return
        found = check.result()
        if isinstance(found, Principal) and not found.may("send"):
            found = missing("send")
        if isinstance(found, Refusal):
            self._go_on(self._receiver.not_logged_in(found.reply))
        else:
            self._principal = found
            self._go_on(self._receiver.logged_in(found))

    # TLS.

    def _begin_tls(self, hello: bytes = b"") -> None:
        """Begin the handshake, of which `hello` was read already where TLS comes first."""
        # Not one octet more is read in the clear: what is in the socket must be a handshake.
        self._transport.pause_reading()
        self._shaking = True
        handshake = self._loop.create_task(self._shake_hands(hello))
        self._reception.handshakes.add(handshake)
        handshake.add_done_callback(self._reception.handshakes.discard)

    def _keep_early(self, data: bytes) -> None:
        """Keep what came inside TLS before `_shake_hands` heard that TLS is there.

        Only once the handshake has taken the socket over: anything else was said in the clear.
        """
        if self._transport.get_protocol() is not self:
            self._early += data

    async def _shake_hands(self, hello: bytes) -> None:
        reception, tls = self._reception, self._reception.tls
        secured: asyncio.Transport | None = None
        if tls is not None and self._open:
            secured = await shake_hands(
                self._transport, self, tls, reception.options.handshake, hello
            )
        if secured is None or not self._open:
            reception.metrics.secured("")
            self._transport.abort()
            self.connection_lost(None)
            return
        self._transport, self._paused = secured, False
        self._active = self._loop.time()
        self._by_network()
        self._receiver.secured()
        if self._door.implicit_tls:
            self._transport.write(self._receiver.greeting())
        reception.metrics.secured(str(secured.get_extra_info("ssl_object").version()))
        early, self._early = self._early, b""
        self._go_on(self._receiver.receive(early))
