"""A session: one SMTP connection, pipelined, that pulls transactions from its driver.

Where the host announces PIPELINING, an envelope goes out in one write, and the next envelope goes
with the final dot before it (RFC 2920). Small content costs no task and no future: all is done in
the callbacks of the transport. After `abort`, `quit` or the loss of the connection the driver hears
`broken` (or `finished`, where all replies are known) for what is in hand, and `closed` last.
"""

from __future__ import annotations

import asyncio
import math
from typing import cast

from relay.mail.client_commands import QUIT, bdat, wire
from relay.mail.exchange import Step
from relay.mail.outcome import Failure, Scope
from relay.mail.replies import ReplyParser
from relay.mail.reply import Reply
from relay.mail.transparency import FINAL_DOT, Chunk, DotStuffer, stuffed
from relay.smtp import failures
from relay.smtp.deadline import Deadline
from relay.smtp.features import Features
from relay.smtp.options import SessionLimits, Target, Timeouts
from relay.smtp.outflow import Outflow
from relay.smtp.pieces import PIECE
from relay.smtp.transaction import Driver, Transaction
from relay.smtp.underway import Underway, unsendable

_UNAVAILABLE = 421


class Session(asyncio.Protocol):
    """An SMTP session after EHLO, and STARTTLS if there was one.

    `tls` is the version reached, `""` in the clear; `verified` says by what the host's certificate
    was (`relay.policy.tls.Requirement.by`), `""` where it was not. Nothing happens before `start`.
    """

    __slots__ = (
        "_asking",
        "_closing",
        "_current",
        "_deadline",
        "_dirty",
        "_driver",
        "_ends_at",
        "_following",
        "_leaving",
        "_loop",
        "_lost",
        "_most",
        "_now",
        "_outflow",
        "_over",
        "_parser",
        "_patience",
        "_transport",
        "_unread",
        "_write",
        "features",
        "limits",
        "served",
        "target",
        "timeouts",
        "tls",
        "verified",
    )  # fmt: skip

    def __init__(
        self,
        transport: asyncio.Transport,
        target: Target,
        *,
        tls: str,
        features: Features,
        timeouts: Timeouts,
        limits: SessionLimits,
        verified: str = "",
    ) -> None:
        self.target = target
        self.tls = tls
        self.verified = verified
        self.features = features
        self.timeouts = timeouts
        self.limits = limits
        #: Transactions begun so far.
        self.served = 0
        self._most = min(limits.messages, features.mail_max or limits.messages)
        self._patience = {
            "reset": timeouts.mail, "mail": timeouts.mail, "rcpt": timeouts.rcpt,
            "data": timeouts.data, "content": timeouts.block, "dot": timeouts.dot,
        }  # fmt: skip
        self._transport = transport
        self._write = transport.write
        self._loop = asyncio.get_running_loop()
        self._driver: Driver | None = None
        self._parser = ReplyParser()
        # The transaction whose replies come now, and the one whose envelope went with its dot.
        self._current: Underway | None = None
        self._following: Underway | None = None
        # Replies that were received with the one being handled and come after it.
        self._unread = 0
        # The server holds the envelope of a transaction that ended before its content.
        self._dirty = False
        self._asking = False
        # No new transaction; QUIT was said; nothing more is said or heard; the socket is gone.
        self._leaving = self._closing = self._over = self._lost = False
        self._now = self._loop.time()
        self._ends_at = math.inf
        self._deadline = Deadline(self._loop, self._late)
        self._outflow = Outflow(
            self._loop, write=self._write_piece, end=self._write_last, fail=self._unread_content
        )
        # "Paused" is to mean that not all was handed to the kernel.
        transport.set_write_buffer_limits(high=1, low=0)

    @property
    def idle(self) -> bool:
        """Started, and waiting for `poke`."""
        return self._driver is not None and self._current is None and not self._leaving

    @property
    def in_doubt(self) -> bool:
        """A final dot was written, and its reply has not come."""
        return self._current is not None and self._current.dotted

    def start(self, driver: Driver) -> None:
        """Begin to pull transactions."""
        self._driver = driver
        if self._lost:
            self._loop.call_soon(driver.closed, self)
        if self._over:
            return
        self._now = self._loop.time()
        self._ends_at = self._now + self.limits.age
        self._advance()

    def poke(self) -> None:
        """There may be work: ask the driver, unless a transaction is in hand anyway."""
        if self.idle and not self._asking:
            self._now = self._loop.time()
            self._advance()

    def quit(self) -> None:
        """End with QUIT, after the transactions in hand."""
        self._leaving = True
        if self._current is None and not self._asking:
            self._now = self._loop.time()
            self._say_quit()

    def abort(self) -> None:
        """End at once, whatever is in hand."""
        phase = self._current.phase if self._current else "idle"
        self._break(failures.lost(phase, "ended by this side"))

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        """Replies, or parts of some."""
        if self._over:
            return
        self._now = self._loop.time()
        replies = self._parser.feed(data)
        self._unread = len(replies)
        for reply in replies:
            self._unread -= 1
            underway = self._current
            if underway is None or reply.code == _UNAVAILABLE or self._outflow.task is not None:
                self._heard_amiss(underway, reply)
            elif (step := underway.take(reply)) is not Step.WAIT:
                self._step(underway, step, reply)
            if self._over:
                return
        if self._parser.fault:
            phase = self._current.phase if self._current else "idle"
            self._break(failures.nonsense(phase, self._parser.fault))
        elif self._current is not None and self._outflow.task is None:
            self._arm(self._patience[self._current.phase])

    def eof_received(self) -> None:
        """No reply can come any more, so there is nothing to wait for."""
        self._ended("the host closed it")

    def connection_lost(self, exc: Exception | None) -> None:
        """The last call of all."""
        self._ended(str(exc) if exc else "")
        self._lost = True
        if self._driver is not None:
            self._driver.closed(self)

    def pause_writing(self) -> None:
        """The kernel took no more."""
        self._outflow.paused = True

    def resume_writing(self) -> None:
        """The kernel has all that was written."""
        self._outflow.resume()

    # Pulling and beginning transactions.

    def _advance(self) -> None:
        """Nothing is in hand: begin the next transaction, go idle, or leave."""
        if self._unread or self._parser.partial:
            # These came before anything was said that they could answer.
            self._break(failures.nonsense("idle", "a reply to nothing"))
            return
        underway = self._pull()
        if self._over:
            return
        if underway is not None:
            self._current = underway
            self._dirty = False
            self._write(underway.say())
            self._arm(self._patience[underway.phase])
        elif self._leaving or self._worn:
            self._say_quit()
        else:
            self._arm(min(self.limits.idle, self._ends_at - self._now))

    @property
    def _worn(self) -> bool:
        return self.served >= self._most or self._now >= self._ends_at

    def _pull(self) -> Underway | None:
        """The driver's next transaction that can be sent to this host."""
        driver = self._driver
        if driver is None or self._leaving or self._worn:
            return None
        self._asking = True
        try:
            while not self._over and (transaction := driver.next_transaction(self)) is not None:
                if self._over:
                    driver.broken(self, transaction, failures.lost("mail"), False)
                    return None
                replies = unsendable(transaction, self.features)
                if replies is None:
                    self.served += 1
                    return Underway(transaction, self.features, reset=self._dirty)
                driver.finished(self, transaction, replies)
        finally:
            self._asking = False
        return None

    def _say_quit(self) -> None:
        if self._closing or self._over:
            return
        self._leaving = self._closing = True
        self._write(wire(QUIT))
        self._arm(self.timeouts.quit)

    # Hearing replies.

    def _heard_amiss(self, underway: Underway | None, reply: Reply) -> None:
        """A reply that answers no command."""
        if underway is None:
            # The 221 after QUIT, a 421 to an idle session, or talk out of turn.
            self._ended(str(reply))
        elif reply.code == _UNAVAILABLE:
            self._break(Failure(reply, Scope.HOST, underway.phase), answered=True)
        else:
            self._interrupted(underway, reply)

    def _step(self, underway: Underway, step: Step, reply: Reply) -> None:
        if step is Step.DONE:
            self._done(underway)
        elif step is Step.NONSENSE or self._unread or self._parser.partial:
            # More came than was asked for: it must not pass for the reply to what is said next.
            self._break(failures.nonsense(underway.phase, f"unexpected reply: {reply}"))
        elif step is Step.CONTENT:
            self._content(underway)
        else:
            self._write(FINAL_DOT if step is Step.LONE_DOT else underway.say())

    def _done(self, underway: Underway) -> None:
        self._current, self._following = self._following, None
        self._dirty = underway.left_open
        if self._driver is not None:
            self._driver.finished(self, underway.transaction, underway.results())
        if self._current is None and not self._over:
            self._advance()

    def _interrupted(self, underway: Underway, reply: Reply) -> None:
        """A reply in the midst of the content. A refusal is the answer to the message, and the
        rest of it is not sent."""
        if reply.code < 400:
            self._break(failures.nonsense("content", f"a reply before the final dot: {reply}"))
            return
        underway.end(reply)
        self._current = None
        if self._driver is not None:
            self._driver.finished(self, underway.transaction, underway.results())
        self._ended(str(reply))

    # Sending content.

    def _content(self, underway: Underway) -> None:
        body = underway.transaction.body
        if body is not None and len(body) <= PIECE:
            chunked = underway.chunked
            self._finish(underway, bdat(len(body)) + body if chunked else stuffed(body))
            return
        self._arm(self.timeouts.block)
        self._outflow.begin(
            underway.transaction,
            Chunk(underway.transaction.size) if underway.chunked else DotStuffer(),
        )

    def _write_piece(self, data: bytes) -> None:
        """A piece of content, with more behind it."""
        self._write(data)
        self._now = self._loop.time()
        self._arm(self.timeouts.block)

    def _write_last(self, ending: bytes) -> None:
        """The end of content that went out in pieces."""
        self._now = self._loop.time()
        self._finish(cast(Underway, self._current), ending)
        if not self._over:
            self._arm(self.timeouts.dot)

    def _unread_content(self) -> None:
        self._break(failures.withheld("the content could not be read"))

    def _finish(self, underway: Underway, ending: bytes) -> None:
        """Write the last of the content, with its final dot and, where pipelined, the envelope of
        the next transaction."""
        driver = cast(Driver, self._driver)
        if self._outflow.paused or not driver.may_finish(self, underway.transaction):
            self._break(failures.withheld("the final dot was withheld"))
            return
        following = self._pull() if self.features.pipelining else None
        if self._over:
            return
        underway.dotted = True
        self._following = following
        self._write(ending if following is None else ending + following.say())

    # Ending.

    def _ended(self, why: str) -> None:
        phase = self._current.phase if self._current else "idle"
        self._break(failures.lost(phase, why))

    def _break(self, failure: Failure, *, answered: bool = False) -> None:
        """End the session and tell the driver of what is in hand. `answered`: the host's reply is
        the failure, so nothing is in doubt."""
        if self._over:
            return
        self._over = self._leaving = True
        self._outflow.drop()
        self._deadline.drop()
        self._transport.abort()
        in_hand = (self._current, self._following)
        self._current = self._following = None
        for underway in in_hand:
            if underway is not None:
                self._give_up(underway, failure, underway.dotted and not answered)

    def _give_up(self, underway: Underway, failure: Failure, in_doubt: bool) -> None:
        driver = cast(Driver, self._driver)
        transaction: Transaction = underway.transaction
        if underway.known:
            driver.finished(self, transaction, underway.results())
        else:
            driver.broken(self, transaction, failure, in_doubt)

    def _arm(self, seconds: float) -> None:
        self._deadline.move(self._now + seconds)

    def _late(self) -> None:
        """The deadline passed."""
        self._now = self._loop.time()
        if self._current is not None:
            phase = self._current.phase
            self._break(failures.silent(phase, self._patience[phase]))
        elif self._closing:
            self._ended("no answer to QUIT")
        else:
            self._say_quit()
