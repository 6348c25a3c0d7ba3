"""A connection: one client's socket, with a receiver behind it and the submitter behind that."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from functools import partial
from typing import cast

from relay.errors import StoreUnavailable, SubmissionRefused
from relay.ingress.access import client_address
from relay.ingress.reception import Reception
from relay.mail import answers
from relay.mail.control import take_key
from relay.mail.receiver import Close, Event, Receiver
from relay.mail.reply import Reply
from relay.mail.sequence import State
from relay.mail.trace import received, received_from, with_keyword
from relay.mail.transaction import MessageReceived
from relay.submission import Accepted, Submission

_log = logging.getLogger(__name__)

#: Seconds that a client has to take its last replies before the connection is cut.
LINGER = 10.0


class Connection(asyncio.Protocol):
    """Runs on callbacks alone: no task and no timer of its own, for neither message nor session.

    A client that goes away while its message is being admitted changes nothing: it stays accepted.
    """

    _receiver: Receiver
    _transport: asyncio.Transport

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._loop = asyncio.get_running_loop()
        self._address = ""
        #: Greeted, and not yet lost.
        self._open = False
        #: When the client last got on; when its content, and when closing began (0: did not).
        self._active = self._content_since = self._closing_since = 0.0
        self._admitting: Submission | None = None
        self._admit_since = 0.0
        #: Octets that this session holds of the process's memory for content.
        self._held = 0
        #: What came inside TLS while the session was not yet told of it.
        self._early = b""
        #: The client takes no replies; it is not read from; it sent all that it will send.
        self._replies_stuck = self._paused = self._at_end = False

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected: it is greeted, or turned away."""
        # uvloop's transports are asyncio's in all but ancestry.
        self._transport = cast(asyncio.Transport, transport)
        reception = self._reception
        self._address = client_address(transport.get_extra_info("peername"))
        refusal = reception.enter(self._address)
        if refusal is not None:
            reception.metrics.turned_away(refusal, self._address)
            self._transport.write(refusal.wire())
            self._transport.close()
            return
        self._open = True
        self._active = self._loop.time()
        self._receiver = Receiver(
            reception.options.receiver,
            may_relay=reception.may_relay(self._address),
            offer_tls=reception.tls is not None,
            check=partial(reception.check_recipient, self._address),
            on_refusal=self._refused,
        )
        reception.connections.add(self)
        reception.metrics.opened()
        self._transport.write(self._receiver.greeting())

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        if not self._open:
            return
        receiver = self._receiver
        if receiver.state is State.HANDSHAKE:
            self._keep_early(data)
            return
        lines = receiver.lines
        event = receiver.receive(data)
        if receiver.lines != lines or receiver.state is State.CONTENT:
            self._active = self._loop.time()
        self._go_on(event)

    def eof_received(self) -> bool:
        """The client sends no more; it still gets the answer to what is being admitted."""
        self._at_end = True
        return self._admitting is not None and not self._receiver.secure

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
        elif self._admitting is not None or state is State.HANDSHAKE:
            return
        elif state is State.CONTENT and self._is_slow(now):
            self.end(answers.TOO_SLOW)
        elif now - self._active > self._reception.options.idle:
            self.end(answers.IDLE)

    def end_if_quiet(self) -> None:
        """End the session unless a transaction or a handshake is under way."""
        if self._receiver.quiet and self._admitting is None:
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

    # What these share.

    def _refused(self, reply: Reply) -> None:
        self._reception.refused(reply, self._address)

    def _go_on(self, event: Event | None) -> None:
        """Do what came up, then write all replies at once."""
        while isinstance(event, MessageReceived):
            event = self._submit(event)
        out = self._receiver.output()
        if out and self._open:
            self._transport.write(out)
        if event is None:
            self._await_more()
        elif isinstance(event, Close):
            self._close()
        else:
            self._begin_tls()

    def _await_more(self) -> None:
        if self._admitting is None:
            # Nearly every command ends here with nothing to do, so only what changed is looked at.
            if self._content_since or self._receiver.state is State.CONTENT:
                self._account_for_content()
            if self._at_end:
                self._close()
            elif self._reception.stopping:
                self.end_if_quiet()
        if self._paused or self._admitting is not None:
            self._set_reading()

    def _close(self) -> None:
        if self._admitting is None:
            self._hold(0)
        if self._open and not self._closing_since:
            self._closing_since = self._loop.time()
            self._transport.close()

    def _set_reading(self) -> None:
        stuck = self._admitting is not None and (
            self._receiver.pending > self._reception.options.pipelined
        )
        paused = stuck or self._replies_stuck
        if paused == self._paused or not self._open or self._closing_since or self._at_end:
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _account_for_content(self) -> None:
        receiver = self._receiver
        if receiver.state is not State.CONTENT:
            self._content_since = 0.0
            self._hold(0)
            return
        self._content_since = self._content_since or self._active
        self._hold(receiver.kept)
        if self._reception.memory.full:
            receiver.drop_content()
            self._hold(0)

    def _hold(self, octets: int) -> None:
        if octets != self._held:
            self._reception.memory.used += octets - self._held
            self._held = octets

    def _is_slow(self, now: float) -> bool:
        options, took = self._reception.options, now - self._content_since
        if took > options.message_time:
            return True
        least = options.least_rate * took
        return took > options.rate_grace and self._receiver.content_size < least

    # Messages.

    def _submit(self, message: MessageReceived) -> Event | None:
        """Hand the message over; the event that followed, if it was refused at once."""
        self._content_since = 0.0
        self._hold(message.size)
        self._reception.sent(self._address)
        if self._reception.memory.full:
            self._hold(0)
            return self._receiver.refused(answers.OUT_OF_MEMORY)
        submitter = self._reception.submitter
        self._admit_since = self._loop.time()
        try:
            submission = self._submission(message)
            answer = submitter.submit(submission)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            return self._refuse(error)
        self._admitting = submission
        # Even an answer that is there already comes by the loop, so that a packet full of messages
        # does not keep other clients waiting.
        answer.add_done_callback(self._answered)
        return None

    def _submission(self, message: MessageReceived) -> Submission:
        receiver, reception = self._receiver, self._reception
        taken = take_key(message.chunks, reception.options.key_field)
        if isinstance(taken, Reply):
            raise SubmissionRefused(taken)
        key, chunks = taken
        id_ = reception.submitter.new_id("", key)
        keyword = with_keyword(extended=receiver.extended, secure=receiver.secure)
        session = received_from(receiver.name, self._address, receiver.options.hostname, keyword)
        trace = received(session, id_, int(time.time()))
        return Submission(
            id=id_,
            envelope=message.envelope,
            content=(trace + chunks[0], *chunks[1:]) if chunks else (trace,),
            trace=len(trace),
            idempotency_key=key,
            client=self._address,
        )

    def _answered(self, answer: asyncio.Future[Accepted]) -> None:
        """The submitter's callback: go on with what the client sent meanwhile."""
        self._active = self._loop.time()
        self._go_on(self._answer(answer))

    def _answer(self, answer: asyncio.Future[Accepted]) -> Event | None:
        submission, size, self._admitting = self._admitting, self._held, None
        self._hold(0)
        failure = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        if failure is not None or submission is None:
            return self._refuse(failure)
        took = self._loop.time() - self._admit_since
        self._reception.metrics.accepted(submission, size, took)
        return self._receiver.accepted(answer.result().id)

    def _refuse(self, failure: BaseException | None) -> Event | None:
        self._hold(0)
        if isinstance(failure, SubmissionRefused):
            return self._receiver.refused(failure.reply)
        if not isinstance(failure, StoreUnavailable):
            _log.error("a message could not be admitted", exc_info=failure)
        return self._receiver.refused(answers.STORE_UNAVAILABLE)

    # TLS.

    def _begin_tls(self) -> None:
        # Not one octet more is read in the clear: what is in the socket must be a handshake.
        self._transport.pause_reading()
        handshake = self._loop.create_task(self._shake_hands())
        self._reception.handshakes.add(handshake)
        handshake.add_done_callback(self._reception.handshakes.discard)

    def _keep_early(self, data: bytes) -> None:
        """Keep what came inside TLS before `_shake_hands` heard that TLS is there.

        Only once the handshake has taken the socket over: anything else was said in the clear.
        """
        if self._transport.get_protocol() is not self:
            self._early += data

    async def _shake_hands(self) -> None:
        reception, tls = self._reception, self._reception.tls
        secured: asyncio.Transport | None = None
        if tls is not None and self._open:
            try:
                secured = await self._loop.start_tls(
                    self._transport,
                    self,
                    tls,
                    server_side=True,
                    ssl_handshake_timeout=reception.options.handshake,
                )
            except (OSError, ssl.SSLError):
                # The client broke the handshake off; nothing was said that needs an answer.
                secured = None
        if secured is None or not self._open:
            reception.metrics.secured("")
            self._transport.abort()
            self.connection_lost(None)
            return
        self._transport, self._paused = secured, False
        self._active = self._loop.time()
        self._receiver.secured()
        reception.metrics.secured(str(secured.get_extra_info("ssl_object").version()))
        early, self._early = self._early, b""
        self._go_on(self._receiver.receive(early))
